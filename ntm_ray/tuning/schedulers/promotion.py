"""Asynchronous successive halving, the promotion kind.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2018), arXiv 1810.05934.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from ntm_ray.tuning.schedulers.asha import REDUCTION_FACTOR, rungs_of
from ntm_ray.tuning.schedulers.scheduler import Decision, Leg, Scheduler

if TYPE_CHECKING:
    from ntm_ray.tuning.space import SearchSpace


class ASHAPromotion(Scheduler):
    """Each trial pauses at each rung; whenever a slot is free, the best third of a rung goes on.

    The rungs are those of `ASHA`. No trial goes on that is not among the best third (rounded
    down) of those that have reached its rung so far; the highest rung goes first. Nobody passes
    for having come early, but the state of every paused trial is kept.
    """

    pauses = True
    takes_over = False

    def __init__(self, max_epochs: int, space: SearchSpace, seed: int) -> None:  # noqa: ARG002
        self._rungs = rungs_of(max_epochs)
        self._losses: dict[int, list[float]] = {rung: [] for rung in self._rungs}
        # Those that wait at a rung, best first; of equals the earlier.
        self._waiting: dict[int, list[tuple[float, int, str]]] = {r: [] for r in self._rungs}
        self._entered: dict[int, set[str]] = {rung: set() for rung in self._rungs}

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which trials are compared."""
        return self._rungs

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        """Enter a trial's loss at a rung, where it waits; a diverged one ends."""
        if trial in self._entered[rung]:
            return Decision.CONTINUE
        number = len(self._entered[rung])
        self._entered[rung].add(trial)
        if not math.isfinite(loss):
            insort(self._losses[rung], math.inf)
            return Decision.STOP
        insort(self._losses[rung], loss)
        heapq.heappush(self._waiting[rung], (loss, number, trial))
        return Decision.PAUSE

    def next_leg(self, *, exhausted: bool) -> Leg | None:  # noqa: ARG002
        """Promote the best that waits at the highest rung that has one among its best third."""
        for rung in reversed(self._rungs):
            waiting, losses = self._waiting[rung], self._losses[rung]
            if waiting and bisect_left(losses, waiting[0][0]) < len(losses) // REDUCTION_FACTOR:
                return Leg(heapq.heappop(waiting)[2])
        return None
