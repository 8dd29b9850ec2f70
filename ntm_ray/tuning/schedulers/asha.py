"""Asynchronous successive halving, the stopping kind.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2018), arXiv 1810.05934.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

from ntm_ray.tuning.schedulers.scheduler import Decision, Scheduler

if TYPE_CHECKING:
    from ntm_ray.tuning.space import SearchSpace

REDUCTION_FACTOR = 3
# Losses closer than this count as equal; nats a word. A topic model begins on a plateau, at the
# loss of the unigram model, and who is lower there by a few thousandths says nothing of the end.
# It fits other objectives too: by as much NPMI changes from epoch to epoch (docs/objectives.md).
TIE = 0.01


def rungs_of(max_epochs: int, first: int = 1) -> tuple[int, ...]:
    """The rungs below a budget: the first one, times the powers of `REDUCTION_FACTOR`."""
    rungs = []
    rung = first
    while rung < max_epochs:
        rungs.append(rung)
        rung *= REDUCTION_FACTOR
    return tuple(rungs)


class ASHA(Scheduler):
    """At each rung, the best third of those that have reached it so far goes on.

    Rungs stand at 1, 3, 9, ... epochs below the budget, times `grace_epochs`. A trial that reaches
    a rung as the n-th goes on if fewer than ceil(n / 3) trials, itself counted in n, have a
    smaller loss there or have gone on with the same, as close as `TIE`:

    ======================  ==  ==  ==  ==  ==  ==  ==
    reached the rung (n)     1   2   3   4   5   6   7
    best that go on          1   1   1   2   2   2   3
    ======================  ==  ==  ==  ==  ==  ==  ==

    Nothing waits: the first to reach a rung always goes on. Trials that diverged (infinite loss)
    push no one's threshold, and cannot go on themselves.

    Args:
        max_epochs: The budget of a trial.
        space: Not used.
        seed: Not used.
        grace_epochs: The first rung.

    Raises:
        ValueError: `grace_epochs` is below 1.
    """

    def __init__(
        self,
        max_epochs: int,
        space: SearchSpace,  # noqa: ARG002
        seed: int,  # noqa: ARG002
        *,
        grace_epochs: int = 1,
    ) -> None:
        if grace_epochs < 1:
            raise ValueError(f"grace_epochs = {grace_epochs}: at least 1 is wanted")
        self._rungs = rungs_of(max_epochs, grace_epochs)
        self._losses: dict[int, list[float]] = {rung: [] for rung in self._rungs}
        self._gone_on: dict[int, list[float]] = {rung: [] for rung in self._rungs}
        self._entered: dict[int, set[str]] = {rung: set() for rung in self._rungs}

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which trials are compared."""
        return self._rungs

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        """Enter a trial's loss at a rung, and say whether it goes on."""
        if trial in self._entered[rung]:
            return Decision.CONTINUE
        self._entered[rung].add(trial)
        loss = math.inf if math.isnan(loss) else loss
        losses, gone_on = self._losses[rung], self._gone_on[rung]
        insort(losses, loss)
        better = bisect_left(losses, loss - TIE)
        equal = bisect_right(gone_on, loss + TIE) - bisect_left(gone_on, loss - TIE)
        if math.isinf(loss) or better + equal >= math.ceil(len(losses) / REDUCTION_FACTOR):
            return Decision.STOP
        insort(gone_on, loss)
        return Decision.CONTINUE
