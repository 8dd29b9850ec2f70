"""Curves with a bend that may lie behind noisy points: draws from the posterior.

A curve is a line that may bend once, sharply, plus a Gaussian process for all else. Without the
bend the process would round a sharp valley off, which moves its lowest point to the flatter side.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), sections 2.2, 2.7, 5.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DRAWS = 4000
# In units of x, here log(topics), of the process; and what of its height is noise, as a ratio of
# standard deviations.
_LENGTHS = np.geomspace(0.2, 4.0, 4)
_NOISES = np.geomspace(0.02, 10.0, 8)
_MOST_BENDS = 60


def draw_curves(x: Floats, y: Floats, places: Floats, random: np.random.Generator) -> Floats:
    """Draw curves from the posterior, `(draws, places)`, in no order.

    The place of the bend and the length and noise of the process are weighed by their likelihood;
    slopes, level and height are integrated out, with priors that say nothing about them.

    Args:
        x: Where the points are; four places at least.
        y: Their heights.
        places: Where the curves are wanted.
        random: Decides the draws.
    """
    scale = max(float(np.ptp(y)), 1e-12)
    targets = (y - y.mean()) / scale
    # With a single place beyond it, a bend would take that place's noise for its slope.
    different = np.unique(x)
    bends = places[(places >= different[1]) & (places <= different[-2])]
    if len(bends) > _MOST_BENDS:
        bends = np.quantile(bends, np.linspace(0, 1, _MOST_BENDS), method="nearest")
    processes = [
        _Process.of(x, targets, bends, length, noise) for length in _LENGTHS for noise in _NOISES
    ]
    evidence = np.stack([process.evidence for process in processes])
    weights = np.exp(evidence - evidence.max()).ravel()
    shares = random.multinomial(_DRAWS, weights / weights.sum()).reshape(evidence.shape)
    drawn = [
        process.draw(number, places, int(share), random)
        for process, of_bends in zip(processes, shares, strict=True)
        for number, share in enumerate(of_bends)
        if share
    ]
    # Those of one bend would be together, which would pair those of two calls.
    return np.asarray(random.permutation(np.concatenate(drawn)) * scale + y.mean())


@dataclass(frozen=True)
class _Process:
    """A process around a line with a bend: `height**2 (kernel + noise**2 identity)`.

    Attributes:
        x: Where the points are.
        length: Of the kernel.
        bends: Where the line may bend.
        factor: Lower Cholesky factor of the kernel with noise.
        heights: The factor's solution for the points' heights.
        lines: That for what the lines are made of, `(bends, points, 3)`.
        evidence: Logarithm of the marginal likelihood of each bend, up to a constant.
    """

    x: Floats
    length: float
    bends: Floats
    factor: Floats
    heights: Floats
    lines: Floats
    evidence: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats, bends: Floats, length: float, noise: float) -> _Process:
        points = len(x)
        covariance = _kernel(x, x, length) + noise**2 * np.eye(points)
        factor: Floats = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        made = np.concatenate([np.moveaxis(_line(x, bend), 1, 0) for bend in bends]).T
        solved = solve_triangular(factor, np.column_stack([y, made]), lower=True)
        heights = solved[:, 0]
        lines = np.moveaxis(solved[:, 1:].reshape(points, len(bends), 3), 1, 0)
        squares = np.einsum("bpi,bpj->bij", lines, lines)
        slopes = np.linalg.solve(squares, np.einsum("bpi,p->bi", lines, heights)[..., None])
        left = heights - (lines @ slopes)[..., 0]
        evidence = (
            -np.log(np.diag(factor)).sum()
            - 0.5 * np.linalg.slogdet(squares).logabsdet
            - 0.5 * (points - 3) * np.log(np.maximum((left**2).sum(axis=1), 1e-20))
        )
        return cls(x, length, bends, factor, heights, lines, np.asarray(evidence))

    def draw(self, bend: int, places: Floats, draws: int, random: np.random.Generator) -> Floats:
        """Draw curves that bend at one of the bends, at places, `(draws, places)`."""
        line, made = self.lines[bend], _line(places, float(self.bends[bend]))
        slopes = np.linalg.lstsq(line, self.heights)[0]
        left = self.heights - line @ slopes
        across = solve_triangular(self.factor, _kernel(self.x, places, self.length), lower=True)
        rest = made - across.T @ line
        mean = rest @ slopes + across.T @ self.heights
        covariance = (
            _kernel(places, places, self.length)
            - across.T @ across
            + rest @ np.linalg.solve(line.T @ line, rest.T)
        )
        root = np.linalg.cholesky(covariance + 1e-8 * np.eye(len(places)))
        normal = random.standard_normal((draws, len(places))) @ root.T
        freedom = len(self.x) - 3
        squared_heights = max(left @ left, 1e-20) / random.chisquare(freedom, size=draws)
        return np.asarray(mean + np.sqrt(squared_heights)[:, None] * normal)


def _line(x: Floats, bend: float) -> Floats:
    """What a line with a bend is made of, `(places, 3)`."""
    return np.stack([np.ones(len(x)), x, np.minimum(x, bend)], axis=1)


def _kernel(one: Floats, other: Floats, length: float) -> Floats:
    """Matern 3/2."""
    distance = math.sqrt(3) * np.abs(one[:, None] - other[None, :]) / length
    return np.asarray((1 + distance) * np.exp(-distance))
