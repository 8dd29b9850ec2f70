"""A simulated job: several slots, a simulated clock, and curves from the surrogate.

Trials run side by side and end an epoch whenever their own pace says so, so that reports arrive in
the order in which a real job would see them. Nothing is trained.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from benchmarks.search_quality.surrogate import Surrogate
    from ntm_ray.tuning.space import Configuration

SLOTS = 4


class Contender(Protocol):
    """A search as the simulator drives it: it hands out trials and hears of each epoch."""

    def next(self) -> tuple[Any, Configuration, int] | None:
        """A trial, its configuration, and how many epochs it has trained; None: none now."""

    def report(self, trial: Any, epoch: int, loss: float) -> bool:
        """Take in an epoch (an infinite loss: it diverged); says whether the trial goes on."""


def replay(contender: Contender, surrogate: Surrogate, budget: int, slots: int = SLOTS) -> Any:
    """Spend `budget` epochs.

    Returns:
        The best `validation:total_loss` so far after each epoch spent (budget,), nats a word.
    """
    best = np.full(budget, np.inf)
    curves: dict[Any, tuple[np.ndarray, float]] = {}
    # When the next epoch of a trial ends, in simulated seconds; a number breaks ties.
    queue: list[tuple[float, int, Any, int]] = []
    now, number, lowest, spent = 0.0, 0, math.inf, 0
    while spent < budget:
        while len(queue) < slots and (task := contender.next()):
            trial, configuration, epochs = task
            curves[trial] = surrogate.curve(configuration)
            number += 1
            heapq.heappush(queue, (now + curves[trial][1], number, trial, epochs + 1))
        if not queue:
            break
        now, _, trial, epoch = heapq.heappop(queue)
        losses, seconds = curves[trial]
        loss = float(losses[epoch - 1])
        lowest = min(lowest, loss)
        best[spent] = lowest
        spent += 1
        if contender.report(trial, epoch, loss) and math.isfinite(loss) and epoch < len(losses):
            number += 1
            heapq.heappush(queue, (now + seconds, number, trial, epoch + 1))
    best[spent:] = lowest
    return best
