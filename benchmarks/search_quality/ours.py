"""Our own engine as a contender: the code of a real job, with reports from the simulator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ntm_ray.tuning import OBJECTIVE, TuningJob
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.schedulers import Decision
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL

if TYPE_CHECKING:
    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.space import Configuration

# More than any budget here can begin.
TRIALS = 100_000


def _forget(event: Event) -> None:
    """Keep no journal."""


class Ours:
    """A `TuningJob`'s engine."""

    def __init__(self, epochs: int, seed: int, **fields: Any) -> None:
        fixed = {"num_topics": 20, "epochs": epochs}
        self._job = TuningJob(hyperparameters=fixed, trials=TRIALS, seed=seed, **fields)
        self.engine = Engine(self._job, _forget)
        # The yardstick is no part of the search, and its epochs no part of the budget.
        self.engine.next_trial()
        self.engine.fail(DEFAULTS_TRIAL, "not trained here")

    def next(self) -> tuple[str, Configuration, int] | None:
        """The engine's next trial, or leg of a trial."""
        trial = self.engine.next_trial()
        return (trial.name, trial.configuration, trial.epochs) if trial else None

    def report(self, trial: str, epoch: int, loss: float) -> bool:
        """Hand the engine one epoch."""
        diverged = math.isinf(loss)
        row = {"epoch": epoch, OBJECTIVE: None if diverged else loss, "seconds": 0.0}
        ended = "diverged" if diverged else "epochs" if epoch == self._job.epochs else None
        decision = self.engine.report(trial, [row], stop_reason=ended)
        return decision is Decision.CONTINUE
