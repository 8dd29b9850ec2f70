"""A search algorithm of one's own: random draws, and small changes of the best so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ntm_ray.tuning import SearchSpace
    from ntm_ray.tuning.search import Observation
    from ntm_ray.tuning.space import Configuration


class MySearch:
    """Every other time, the best configuration with one parameter drawn anew."""

    def __init__(self, space: SearchSpace, seed: int, *, explore: float = 0.5) -> None:
        """Start with nothing; `explore` is the share of proposals drawn at random."""
        if not 0 <= explore <= 1:
            raise ValueError(f"explore = {explore}: a number from 0 to 1 is wanted")
        self._space = space
        self._seed = seed
        self._explore = explore
        self._begun = 0
        self._best: Configuration = {}
        self._least = math.inf

    def propose(self, trial: str) -> Configuration:
        """Draw, or change the best."""
        # A generator for each proposal, so that a resumed search need not repeat the draws.
        random = np.random.default_rng([self._seed, self._begun])
        self.adopt(trial, {})
        drawn = self._space.sample(random)
        if not self._best or random.random() < self._explore:
            return drawn
        changed = random.choice([parameter.name for parameter in self._space.parameters])
        proposal: Configuration = {}
        for parameter in self._space.parameters:
            unit = float(random.random())
            if not parameter.is_active(proposal):
                continue
            value = self._best.get(parameter.name)
            if value is None or parameter.name == changed or not parameter.contains(value):
                value = parameter.from_unit(unit)
            proposal[parameter.name] = value
        return proposal

    def adopt(self, trial: str, configuration: Configuration) -> None:
        """Count a trial whose configuration was chosen elsewhere."""
        self._begun += 1

    def tell(self, trial: str, observation: Observation) -> None:
        """Remember the best of the trials that have ended."""
        if observation.finished and observation.loss < self._least:
            self._best, self._least = observation.configuration, observation.loss
