"""Curves of configurations that are not in a table, from those that are.

A forest of extremely randomised trees (scikit-learn) from the encoded configuration to the whole
curve, and the nearest recorded configuration of the same optimizer for whether and when training
diverges, and for how long an epoch takes. All contenders are shown the same curves.

    python -m benchmarks.search_quality.surrogate

says how good it is: each tenth of a table predicted from the other nine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor

from benchmarks.search_quality.table import WORST_ABOVE_BEST, Encoding, Table, tables
from ntm_ray.tuning import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntm_ray.tuning.space import Configuration

TREES = 200


class Surrogate:
    """What training a configuration on a corpus would give, in less than a millisecond."""

    def __init__(self, table: Table, rows: npt.NDArray[np.int64] | None = None) -> None:
        """Learn from the given rows of a table; None: all of them."""
        rows = np.arange(len(table.configurations)) if rows is None else rows
        self.epochs = table.epochs
        self._encode = Encoding(SearchSpace.read("focused"))
        self._optimizers = [str(table.configurations[row]["optimizer"]) for row in rows]
        self._points = np.array([self._encode(table.configurations[row]) for row in rows])
        self._diverged = np.isinf(table.losses[rows])
        self._seconds = table.seconds[rows]
        forest = ExtraTreesRegressor(TREES, min_samples_leaf=2, random_state=0, bootstrap=False)
        forest.fit(self._points, clipped(table.losses[rows]))
        # All trees side by side, so that one walk down goes through all of them at once.
        trees = [tree.tree_ for tree in forest.estimators_]
        offsets = np.cumsum([0] + [tree.node_count for tree in trees[:-1]])
        self._roots = offsets
        self._feature = np.concatenate([tree.feature for tree in trees])
        self._threshold = np.concatenate([tree.threshold for tree in trees])
        pairs = list(zip(trees, offsets, strict=True))
        self._left = np.concatenate([tree.children_left + start for tree, start in pairs])
        self._right = np.concatenate([tree.children_right + start for tree, start in pairs])
        self._value = np.concatenate([tree.value[:, :, 0] for tree in trees])

    def curve(self, configuration: Configuration) -> tuple[npt.NDArray[np.float64], float]:
        """Return the losses (epochs,), infinite where diverged, and the seconds an epoch takes."""
        point = self._encode(configuration)
        losses = self._predict(point)
        optimizer = configuration["optimizer"]
        same = [i for i, name in enumerate(self._optimizers) if name == optimizer]
        nearest = same[int(((self._points[same] - point) ** 2).sum(axis=1).argmin())]
        losses[self._diverged[nearest]] = np.inf
        return losses, float(self._seconds[nearest])

    def _predict(self, point: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        nodes = self._roots.copy()
        while True:
            feature = self._feature[nodes]
            inner = feature >= 0
            if not inner.any():
                return np.asarray(self._value[nodes].mean(axis=0))
            go_left = point[np.maximum(feature, 0)] <= self._threshold[nodes]
            nodes = np.where(
                inner, np.where(go_left, self._left[nodes], self._right[nodes]), nodes
            )


def clipped(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Losses (configurations, epochs) with all that is hopeless made equally bad."""
    worst = losses.min() + WORST_ABOVE_BEST
    return np.asarray(np.minimum(np.nan_to_num(losses, posinf=worst), worst))


def left_out(table: Table, folds: int = 10) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Predict each configuration from those of the other folds."""
    rows = np.random.default_rng(0).permutation(len(table.configurations))
    for fold in range(folds):
        out = rows[fold::folds]
        surrogate = Surrogate(table, np.setdiff1d(rows, out))
        for row in out:
            yield int(row), surrogate.curve(table.configurations[row])[0]


def main() -> None:
    """Print, for each table, how far predicted best losses are from the recorded ones."""
    print("| corpus | configurations | median error | mean error | rank correlation |")
    print("|---|---|---|---|---|")
    for corpus, table in tables().items():
        true = clipped(table.losses)
        guessed = np.empty_like(true)
        for row, curve in left_out(table):
            guessed[row] = np.minimum(curve, true.max())
        best, guess = true.min(axis=1), guessed.min(axis=1)
        errors = np.abs(best - guess)
        print(
            f"| {corpus} | {len(true)} | {np.median(errors):.3f} | {errors.mean():.3f} "
            f"| {spearmanr(best, guess).statistic:.2f} |"
        )


if __name__ == "__main__":
    main()
