"""Choose the first configurations of a search space from the recorded tables.

    python -m benchmarks.search_quality.portfolio [--size 5] [--space focused]

Greedily: each next configuration is the one that brings the best of those chosen closest to the
best there is, on the mean over the corpora; no two share both optimizer and activation, since what
fails on another corpus fails with its like. Then the same with each corpus left out in turn, and
what that portfolio reaches on the corpus it has not seen.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.search_quality.surrogate import Surrogate
from benchmarks.search_quality.table import Table, tables
from ntm_ray.tuning import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntm_ray.tuning.space import Configuration

# SageMaker's documented defaults, in each shipped space.
DEFAULTS: dict[str, Configuration] = {
    "focused": {
        "encoder_layers_activation": "sigmoid",
        "optimizer": "adadelta",
        "mini_batch_size": 256,
        "weight_decay": 0.0,
    },
    "sagemaker": {
        "encoder_layers_activation": "sigmoid",
        "learning_rate": 0.001,
        "mini_batch_size": 256,
        "optimizer": "adadelta",
        "rescale_gradient": 1.0,
        "weight_decay": 0.0,
    },
}


class Candidates:
    """Configurations with their best loss on each of some corpora."""

    def __init__(self, found: dict[str, Table], space: SearchSpace) -> None:
        """Gather the configurations that have a counterpart in a space; see `counterpart`."""
        self.configurations: list[Configuration] = []
        self.corpora = list(found)
        recorded: dict[str, dict[str, float]] = {}
        for corpus, table in found.items():
            # Recorded more than once, with another seed each: the mean, not the luckiest.
            several: dict[str, list[float]] = {}
            best = table.losses.min(axis=1)
            for configuration, loss in zip(table.configurations, best, strict=True):
                several.setdefault(repr(configuration), []).append(float(loss))
            recorded[corpus] = {name: float(np.mean(losses)) for name, losses in several.items()}
        surrogates = {corpus: Surrogate(table) for corpus, table in found.items()}
        rows: dict[str, list[float]] = {}
        for table in found.values():
            for configuration in table.configurations:
                name = repr(configuration)
                if name in rows or not counterpart(configuration, space):
                    continue
                self.configurations.append(configuration)
                rows[name] = [
                    recorded[corpus].get(name, surrogates[corpus].curve(configuration)[0].min())
                    for corpus in found
                ]
        losses = np.array(list(rows.values()))
        lowest = losses.min(axis=0)
        # 0 is the best there is on a corpus, 1 what half of all reach.
        self.regret = (losses - lowest) / (np.median(losses, axis=0) - lowest)
        self.losses = losses

    def greedy(self, size: int, corpora: Sequence[str]) -> list[int]:
        """The rows of a portfolio for some corpora."""
        columns = [self.corpora.index(corpus) for corpus in corpora]
        reached = np.full(len(columns), np.inf)
        chosen: list[int] = []
        kinds = [
            (configuration["optimizer"], configuration["encoder_layers_activation"])
            for configuration in self.configurations
        ]
        own = self.regret[:, columns].mean(axis=1)
        for _ in range(size):
            # What is as good on the corpora that were seen is told apart by its own mean.
            means = np.minimum(self.regret[:, columns], reached).mean(axis=1) + own / 10
            taken = {kinds[row] for row in chosen}
            means[[kind in taken for kind in kinds]] = np.inf
            chosen.append(int(means.argmin()))
            reached = np.minimum(reached, self.regret[chosen[-1], columns])
        return chosen


def counterpart(configuration: Configuration, space: SearchSpace) -> Configuration | None:
    """A recorded configuration as one of another space, with round numbers, if it has it."""
    configuration = {name: rounded(value) for name, value in configuration.items()}
    names = {p.name for p in space.parameters if p.is_active(configuration)}
    defaults = {"learning_rate": 0.001, "rescale_gradient": 1.0}
    configuration |= {n: v for n, v in defaults.items() if n in names - configuration.keys()}
    return configuration if space.contains(configuration) else None


def rounded(value: str | float | bool) -> str | float | bool:
    """Two significant digits."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value == 0:
        return value
    digits = 1 - math.floor(math.log10(abs(value)))
    return int(round(value, digits)) if isinstance(value, int) else round(value, digits)


def first_for(corpus: str, size: int, found: dict[str, Table]) -> tuple[Configuration, ...]:
    """The first configurations for a corpus, chosen on the others, and SageMaker's defaults."""
    space = SearchSpace.read("focused")
    others = {name: table for name, table in found.items() if name != corpus}
    candidates = Candidates(others, space)
    chosen = [candidates.configurations[row] for row in candidates.greedy(size, list(others))]
    made = [counterpart(configuration, space) for configuration in chosen]
    return (*(one for one in made if one), DEFAULTS["focused"])


def main() -> None:
    """Print a portfolio, and what the portfolios of the other corpora reach on each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=5)
    parser.add_argument("--space", default="focused")
    given = parser.parse_args()

    found = tables()
    space = SearchSpace.read(given.space)
    candidates = Candidates(found, space)
    chosen = candidates.greedy(given.size, candidates.corpora)
    print(f"chosen of {len(candidates.configurations)} on {', '.join(candidates.corpora)}")
    for row in chosen:
        reached = ", ".join(f"{loss:.3f}" for loss in candidates.losses[row])
        print(f"{reached}: {counterpart(candidates.configurations[row], space)}")
    print("\nleft out: best loss of the portfolio chosen on the others; best there is; median;")
    print("share of all configurations that are better")
    for column, corpus in enumerate(candidates.corpora):
        others = [name for name in candidates.corpora if name != corpus]
        rows = candidates.greedy(given.size, others)
        losses = candidates.losses[:, column]
        best = losses[rows].min()
        print(
            f"{corpus}: {best:.3f}; {losses.min():.3f}; {np.median(losses):.3f}; "
            f"{(losses < best).mean():.1%}"
        )


if __name__ == "__main__":
    main()
