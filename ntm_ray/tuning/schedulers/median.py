"""The median rule of SageMaker's Automatic Model Tuning, early stopping type `Auto`.

As its developer guide has it ("Stop Training Jobs Early"): after each epoch, the running average
of the objective is taken for every other training job up to the same epoch; a job is stopped if
its value, not its average, is worse than the median of those.
"""

from __future__ import annotations

import math
from bisect import insort
from typing import TYPE_CHECKING

from ntm_ray.tuning.schedulers.scheduler import Decision, Scheduler

if TYPE_CHECKING:
    from ntm_ray.tuning.space import SearchSpace


class Median(Scheduler):
    """SageMaker's rule: after each epoch, stop what is worse than the median running average."""

    def __init__(
        self,
        max_epochs: int,
        space: SearchSpace,  # noqa: ARG002 - every scheduler is given it
        seed: int,  # noqa: ARG002
        *,
        grace_epochs: int = 1,
        least_trials: int = 1,
    ) -> None:
        """Start with nothing.

        Args:
            max_epochs: The most epochs that a trial trains.
            space: What is searched; not used.
            seed: Not used: nothing is drawn.
            grace_epochs: The first epoch after which a trial may be stopped.
            least_trials: How many others must have come as far.

        Raises:
            ValueError: If one of them is below 1.
        """
        for name, value in {"grace_epochs": grace_epochs, "least_trials": least_trials}.items():
            if value < 1:
                raise ValueError(f"{name} = {value}: at least 1 is wanted")
        self._rungs = tuple(range(1, max_epochs))
        self._grace_epochs = grace_epochs
        self._least_trials = least_trials
        # By trial: how many losses, and their sum. By epoch: the averages up to there, in order.
        self._sums: dict[str, tuple[int, float]] = {}
        self._averages: dict[int, list[float]] = {}

    @property
    def rungs(self) -> tuple[int, ...]:
        """Every epoch but the last."""
        return self._rungs

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        """Compare a trial's loss with the others' averages, then enter its own average."""
        number, total = self._sums.get(trial, (0, 0.0))
        if rung <= number:
            return Decision.CONTINUE
        loss = math.inf if math.isnan(loss) else loss
        averages = self._averages.setdefault(rung, [])
        worse = (
            rung >= self._grace_epochs
            and len(averages) >= self._least_trials
            and loss > _median(averages)
        )
        self._sums[trial] = number + 1, total + loss
        insort(averages, (total + loss) / (number + 1))
        return Decision.STOP if worse or math.isinf(loss) else Decision.CONTINUE


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
