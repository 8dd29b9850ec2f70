"""One trial of a job: what it is, and what is known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.space import Configuration

OBJECTIVE = "validation:total_loss"
# SageMaker's default configuration, trained the same way, as a yardstick: no part of the search.
DEFAULTS_TRIAL = "defaults"

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
        measures: `MEASURES` of the model of its best epoch, as of the last rung; one that was not
            finite is not there. None: no epoch has come to a model yet.
        measured: The row of the curve that they are of.
        seconds: How long it trained and was validated.
        error: Why it failed, in one line.
        legs: How often it has gone on after a pause.
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
    measures: dict[str, float] | None = None
    measured: EpochRow | None = None
    seconds: float = 0.0
    error: str | None = None
    legs: int = 0
    goes_on_from: tuple[str, int] | None = None
    checkpoint: int | None = None

    def take_in(self, event: Event) -> None:
        """Enter what a report of the journal says of it."""
        self.curve += event["epochs"]
        self.checkpoint = event.get("state_epoch", self.checkpoint)
        self.seconds += sum(row["seconds"] for row in event["epochs"])
        # A restarted trial begins again with worse models than it had before.
        if event["saved_epoch"] is not None:
            saved = self.curve[event["saved_epoch"] - 1]
            if saved[OBJECTIVE] < self.saved_loss:
                self.saved, self.saved_configuration = saved, self.configuration
        if event.get("measures") is not None:
            measured = self.curve[event["measured_epoch"] - 1]
            if self.measured is None or measured[OBJECTIVE] <= self.measured[OBJECTIVE]:
                self.measured, self.measures = measured, event["measures"]

    @property
    def ended(self) -> bool:
        """Whether it trains no further."""
        return self.status not in (Status.RUNNING, Status.PAUSED)

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
        losses = (row[OBJECTIVE] for row in self.curve)
        found = min((loss for loss in losses if loss is not None), default=math.inf)
        return min(found, self.saved_loss)

    @property
    def saved_loss(self) -> float:
        """The `validation:total_loss` of its saved model, nats a word; infinite if none."""
        return self.saved[OBJECTIVE] if self.saved else math.inf
