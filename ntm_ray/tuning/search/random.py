"""Random search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ntm_ray.tuning.search.algorithm import Observation
    from ntm_ray.tuning.space import Configuration, SearchSpace


class Random:
    """Independent draws from the space; learns nothing.

    The n-th proposal depends only on the seed and n, so trials may come and go in any order.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._proposed = 0

    def propose(self, trial: str) -> Configuration:  # noqa: ARG002 - a trial is like any other
        """Draw the next configuration."""
        generator = np.random.default_rng([self._seed, self._proposed])
        self._proposed += 1
        return self._space.sample(generator)

    def adopt(self, trial: str, configuration: Configuration) -> None:  # noqa: ARG002
        """Count the trial, so that the next draw is a new one."""
        self._proposed += 1

    def tell(self, trial: str, observation: Observation) -> None:
        """Do nothing: random search does not learn."""
