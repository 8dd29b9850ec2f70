"""A scrambled Sobol sequence, by SciPy: random search without the gaps and clusters.

Owen, "Scrambling Sobol' and Niederreiter-Xing Points" (1998).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import qmc

from ntm_ray.tuning.search.dimensions import configuration_at

if TYPE_CHECKING:
    from ntm_ray.tuning.search.algorithm import Observation
    from ntm_ray.tuning.space import Configuration, SearchSpace

FIRST_POINTS = 64


class Sobol:
    """Points that fill the space evenly, whenever the search ends; learns nothing.

    The n-th point depends only on the seed and n. Each parameter is a dimension of its own, also
    where it is not active.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._proposed = 0
        self._points = np.empty((0, len(space.parameters)))

    def propose(self, trial: str) -> Configuration:  # noqa: ARG002 - a trial is like any other
        """Return the next point."""
        self._proposed += 1
        return self.point(self._proposed - 1)

    def adopt(self, trial: str, configuration: Configuration) -> None:  # noqa: ARG002
        """Step on if it is the next point, as at resume; one from elsewhere leaves no gap."""
        if self.point(self._proposed) == configuration:
            self._proposed += 1

    def tell(self, trial: str, observation: Observation) -> None:
        """Do nothing: the sequence is what it is."""

    def point(self, number: int) -> Configuration:
        """Return the point with a number, from 0, whatever has been proposed."""
        if not self._space.parameters:
            return {}
        if number >= len(self._points):
            # A longer sequence begins with the same points; its length is a power of two.
            random = np.random.default_rng(self._seed)
            sequence = qmc.Sobol(len(self._space.parameters), rng=random)
            self._points = sequence.random(max(FIRST_POINTS, 1 << number.bit_length()))
        return configuration_at(self._space, self._points[number].tolist())
