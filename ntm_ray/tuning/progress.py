"""What can be told about a job while it runs, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ntm_ray.model.objectives import TOTAL_LOSS, Objective
from ntm_ray.tuning.trial_record import OBJECTIVE, OUTCOMES, Status

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning.engine import Engine
    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.storage import Place


@dataclass(frozen=True)
class Progress:
    """How far a job has come.

    Attributes:
        trials: How many trials the job has.
        running: How many are training; `paused`: how many wait to go on; `outcomes`: how many
            ended, by how.
        epochs_spent: Epochs trained by the trials of the search so far.
        epochs_saved: Epochs that the trials which have ended did not train of their budget.
        best_trial: Name, `best_loss` (nats a word) and `best_configuration` of the best so far.
        note: What there is to say besides, as that trials wait for a node.
        objective: What trials are compared by; `best_value`: that of the best so far.
        seconds: Since this session began; `seconds_left`: an estimate, once a trial has ended.
    """

    trials: int
    running: int
    outcomes: dict[Status, int]
    epochs_spent: int
    epochs_saved: int
    best_trial: str | None
    best_loss: float | None
    best_configuration: dict[str, Any] | None
    seconds: float
    seconds_left: float | None
    paused: int = 0
    note: str | None = None
    objective: Objective = TOTAL_LOSS
    best_value: float | None = None

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(self.outcomes.values())

    @classmethod
    def of(
        cls, engine: Engine, seconds: float, ended_before: int, note: str | None = None
    ) -> Progress:
        """Look at an engine `seconds` into a session that began with `ended_before` ended."""
        here = engine.ended - ended_before
        left = engine.job.trials - engine.ended
        best = engine.best
        outcomes = {status: engine.counts[status] for status in OUTCOMES if engine.counts[status]}
        return cls(
            trials=engine.job.trials,
            running=engine.counts[Status.RUNNING],
            note=note,
            paused=engine.counts[Status.PAUSED],
            outcomes=outcomes,
            epochs_spent=engine.epochs_spent,
            epochs_saved=engine.epochs_saved,
            best_trial=best.name if best else None,
            best_loss=best.saved[OBJECTIVE] if best and best.saved else None,
            objective=engine.objective,
            best_value=engine.objective.of_score(best.saved_score) if best else None,
            best_configuration=best.saved_configuration if best else None,
            seconds=seconds,
            seconds_left=seconds / here * left if here else None,
        )


class Observer(Protocol):
    """Somebody who is told how a job comes along: often, and by more than one thread."""

    def started(self, job: TuningJob, corpus: Corpus, folder: Place) -> None:
        """The corpus is read, the job folder is there, Ray is about to start."""

    def update(self, progress: Progress) -> None:
        """The job has come this far."""

    def stopping(self) -> None:
        """Somebody pressed Ctrl-C; what runs is being stopped."""

    def ended(self) -> None:
        """No more updates will come."""


class Nobody:
    """An observer that tells nobody."""

    def started(self, job: TuningJob, corpus: Corpus, folder: Place) -> None:
        """Do nothing."""

    def update(self, progress: Progress) -> None:
        """Do nothing."""

    def stopping(self) -> None:
        """Do nothing."""

    def ended(self) -> None:
        """Do nothing."""
