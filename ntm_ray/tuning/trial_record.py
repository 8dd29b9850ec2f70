"""One trial of a job: what it is, and what is known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ntm_ray.model.objectives import TOTAL_LOSS, Objective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.space import Configuration

OBJECTIVE = "validation:total_loss"
# SageMaker's default configuration, trained the same way, as a yardstick: no part of the search.
DEFAULTS_TRIAL = "defaults"

# What the yardstick trial has of the job: how much is to be learnt, and how long.
_SHARED_WITH_DEFAULTS = ("num_topics", "epochs", "num_patience_epochs")

EpochRow = dict[str, Any]


class Status(StrEnum):
    """What became of a trial."""

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED_EARLY = "stopped_early"
    DIVERGED = "diverged"
    FAILED = "failed"


OUTCOMES = (Status.FINISHED, Status.STOPPED_EARLY, Status.DIVERGED, Status.FAILED)
"""The statuses of trials that have ended."""


@dataclass
class Trial:
    """One configuration with one seed, and what is known of it.

    Attributes:
        name: Its number in the job, as four digits or more; or `defaults`.
        configuration: The hyperparameters that were drawn for it.
        seed: Its own seed.
        started: When it was proposed, in seconds since 1970.
        status: What became of it.
        curve: One row an epoch, with the columns of `epochs.parquet`.
        saved: The row of the curve whose model is saved: its best so far, as of the last rung.
        saved_configuration: What that model was trained with: a trial that has taken over from
            another since has another curve and configuration now.
        saved_bytes: How large that model is.
        is_kept: Whether it is on disk still; see `ntm_ray.tuning.kept_models`.
        measures: `MEASURES` of the model of its best epoch, as of the last rung; one that was not
            finite is not there. None: no epoch has come to a model yet.
        measured: The row of the curve that they are of.
        seconds: How long it trained and was validated.
        error: Why it failed, in one line.
        legs: How often it has gone on after a pause.
        objective: What its epochs are compared by.
        checkpoint: The epoch of the newest state that its present leg has saved, which it would go
            on from if its process died; None: it would begin the leg again.
        goes_on_from: The trial (itself, or one that it takes over) and the epoch of the saved
            state that its present leg begins with; None: it begins from its seed.
    """

    name: str
    configuration: Configuration
    seed: int
    started: float
    status: Status = Status.RUNNING
    curve: list[EpochRow] = field(default_factory=list)
    saved: EpochRow | None = None
    saved_configuration: Configuration | None = None
    saved_bytes: int = 0
    is_kept: bool = False
    measures: dict[str, float] | None = None
    measured: EpochRow | None = None
    seconds: float = 0.0
    error: str | None = None
    legs: int = 0
    goes_on_from: tuple[str, int] | None = None
    checkpoint: int | None = None
    objective: Objective = TOTAL_LOSS

    def hyperparameters(self, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """What it trains with, but for `feature_dim`; of what a job has fixed, or little of it."""
        if self.name == DEFAULTS_TRIAL:
            fixed = {name: fixed[name] for name in _SHARED_WITH_DEFAULTS if name in fixed}
        return {**fixed, **self.configuration}

    def take_in(self, event: Event) -> None:
        """Enter what a report of the journal says of it."""
        self.curve += event["epochs"]
        self.checkpoint = event.get("state_epoch", self.checkpoint)
        self.seconds += sum(row["seconds"] for row in event["epochs"])
        # A restarted trial begins again with worse models than it had before.
        if event["saved_epoch"] is not None:
            saved = self.curve[event["saved_epoch"] - 1]
            if self.score(saved) < self.saved_score:
                self.saved, self.saved_configuration = saved, self.configuration
                self.saved_bytes = event.get("saved_bytes", 0)
                # Older versions did not say so, and removed it without a word.
                self.is_kept = "saved_bytes" in event
        if event.get("measures") is not None:
            measured = self.curve[event["measured_epoch"] - 1]
            if self.measured is None or self.score(measured) < self.score(self.measured):
                self.measured, self.measures = measured, event["measures"]

    @property
    def ended(self) -> bool:
        """Whether it trains no further."""
        return self.status not in (Status.RUNNING, Status.PAUSED)

    @property
    def kept_bytes(self) -> int:
        """How much of the disk its model takes."""
        return self.saved_bytes if self.is_kept else 0

    @property
    def epochs(self) -> int:
        """How many epochs it has trained."""
        return len(self.curve)

    @property
    def begins_at(self) -> tuple[str, int] | None:
        """Trial and epoch of the saved state that it goes on from now; None: from its seed."""
        return self.goes_on_from if self.checkpoint is None else (self.name, self.checkpoint)

    @property
    def best_loss(self) -> float:
        """The least `validation:total_loss` of its epochs, nats a word; infinite if none.

        That of its saved model is among them, also where another trial's curve has taken its
        place.
        """
        rows = self.curve if self.saved is None else [*self.curve, self.saved]
        losses = (row[OBJECTIVE] for row in rows)
        return min((loss for loss in losses if loss is not None), default=math.inf)

    def score(self, row: EpochRow) -> float:
        """What an epoch of it is compared by, less is better: the loss, unless told otherwise.

        Infinite for one that has diverged.
        """
        return self.objective.score(objective_value(row, self.objective))

    @property
    def best_score(self) -> float:
        """The least score of its epochs and its saved model; infinite if none."""
        return min(min(map(self.score, self.curve), default=math.inf), self.saved_score)

    @property
    def saved_score(self) -> float:
        """The score of its saved model; infinite if none."""
        return self.score(self.saved) if self.saved else math.inf


def objective_value(row: EpochRow, objective: Objective) -> float | None:
    """The value of a job's objective at an epoch; None if that has diverged."""
    value: float | None = row["objective"] if objective.uses_topics else row[OBJECTIVE]
    return value
