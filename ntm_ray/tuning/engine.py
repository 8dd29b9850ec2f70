"""The search engine: what to try next, what goes on, what is best. It knows no Ray.

Whatever carries trials out asks it for the next trial and tells it what trials report; every step
is in the journal before it has an effect, and `resume` takes the same steps again.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.errors import JobError
from ntm_ray.tuning.schedulers import Decision, Scheduler, create_scheduler
from ntm_ray.tuning.search import Observation, SearchAlgorithm, create_search_algorithm

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.space import Configuration

OBJECTIVE = "validation:total_loss"
# SageMaker's default configuration, trained the same way, as a yardstick: no part of the search.
DEFAULTS_TRIAL = "defaults"
_SHARED_WITH_DEFAULTS = ("num_topics", "epochs", "num_patience_epochs")

EpochRow = dict[str, Any]


class Status(StrEnum):
    """What became of a trial."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED_EARLY = "stopped_early"
    DIVERGED = "diverged"
    FAILED = "failed"


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
        seconds: How long it trained and was validated.
        error: Why it failed, in one line.
    """

    name: str
    configuration: Configuration
    seed: int
    started: float
    status: Status = Status.RUNNING
    curve: list[EpochRow] = field(default_factory=list)
    saved: EpochRow | None = None
    seconds: float = 0.0
    error: str | None = None

    @property
    def epochs(self) -> int:
        """How many epochs it has trained."""
        return len(self.curve)

    @property
    def best_loss(self) -> float:
        """The least `validation:total_loss` of its epochs, nats a word; infinite if none."""
        losses = (row[OBJECTIVE] for row in self.curve)
        return min((loss for loss in losses if loss is not None), default=math.inf)

    @property
    def saved_loss(self) -> float:
        """The `validation:total_loss` of its saved model, nats a word; infinite if none."""
        return self.saved[OBJECTIVE] if self.saved else math.inf


class Engine:
    """The state of a job: its trials, and the search algorithm and scheduler that saw them."""

    def __init__(self, job: TuningJob, write: Callable[[Event], None]) -> None:
        """Start with no trials.

        Args:
            job: What is searched, and how.
            write: Called with each event before it takes effect; `Journal.append`.
        """
        self.job = job
        self.trials: dict[str, Trial] = {}
        self.algorithm: SearchAlgorithm = create_search_algorithm(
            job.search, job.free_space, job.seed
        )
        self.scheduler: Scheduler = create_scheduler(job.scheduler, job.epochs)
        self._write = write
        self._to_restart: deque[str] = deque()
        self._best: Trial | None = None

    # What there is to know

    @property
    def searched(self) -> list[Trial]:
        """The trials of the search, in the order of their proposals."""
        return [trial for trial in self.trials.values() if trial.name != DEFAULTS_TRIAL]

    @property
    def best(self) -> Trial | None:
        """The trial of the search whose saved model has the least `validation:total_loss`."""
        return self._best

    @property
    def is_finished(self) -> bool:
        """Whether every trial of the job has been carried out."""
        return len(self.trials) == self.job.trials + 1 and not any(
            trial.status is Status.RUNNING for trial in self.trials.values()
        )

    def hyperparameters(self, trial: Trial) -> dict[str, Any]:
        """What a trial trains with, but for `feature_dim`: what is fixed, and what was drawn.

        The yardstick trial takes nothing from the job but how much is to be learnt, and how long.
        """
        fixed = self.job.hyperparameters
        if trial.name == DEFAULTS_TRIAL:
            fixed = {name: fixed[name] for name in _SHARED_WITH_DEFAULTS if name in fixed}
        return fixed | trial.configuration

    # What happens

    def next_trial(self) -> Trial | None:
        """Propose the next trial; None when all have been proposed."""
        if self._to_restart:
            return self.trials[self._to_restart.popleft()]
        if DEFAULTS_TRIAL not in self.trials:
            name, seed = DEFAULTS_TRIAL, self.job.seed
            configuration = self.job.default_configuration
        elif len(self.trials) <= self.job.trials:
            number = len(self.trials) - 1
            name = f"{number:04d}"
            configuration = self.algorithm.propose(name)
            # A seed of its own for each trial, whoever runs it and when.
            seed = int(np.random.SeedSequence([self.job.seed, number]).generate_state(1)[0])
        else:
            return None
        event = {"event": "trial", "trial": name, "configuration": configuration, "seed": seed}
        self._begin(self._record(event))
        return self.trials[name]

    def report(
        self,
        name: str,
        rows: list[EpochRow],
        *,
        stop_reason: str | None = None,
        saved_epoch: int | None = None,
    ) -> Decision:
        """Take in the epochs that a trial has trained since its last report.

        Args:
            name: The trial.
            rows: Its newest epochs in order. One that was reported before, as happens after a
                restart, changes nothing.
            stop_reason: Why the trial itself has ended, if it has: `epochs`, `early_stopping` or
                `diverged`.
            saved_epoch: The epoch whose model is saved, if any is.

        Returns:
            Whether the trial goes on.
        """
        trial = self.trials[name]
        if trial.status is not Status.RUNNING:
            return Decision.STOP
        new = [row for row in rows if row["epoch"] > trial.epochs]
        event: Event = {"event": "report", "trial": name, "epochs": new}
        event |= {"stop_reason": stop_reason, "saved_epoch": saved_epoch}
        return self._take_in(self._record(event))

    def fail(self, name: str, error: str) -> None:
        """Take note that a trial cannot be carried out."""
        if self.trials[name].status is Status.RUNNING:
            self._give_up(self._record({"event": "failed", "trial": name, "error": error}))

    def resume(self, events: list[Event]) -> None:
        """Take the steps of an earlier session again; trials cut half-way will be restarted.

        Raises:
            JobError: If an event cannot belong to this job.
        """
        steps = {"trial": self._resume_trial, "report": self._take_in, "failed": self._give_up}
        for number, event in enumerate(events, start=1):
            if step := steps.get(event["event"]):
                try:
                    step(event)
                except (KeyError, IndexError, TypeError, ValueError):
                    raise JobError(
                        f"event {number} of the journal, {event['event']!r} of trial "
                        f"{event.get('trial')!r}, does not belong to this job; put job.yaml back "
                        "as it was"
                    ) from None
        self._to_restart.extend(
            trial.name for trial in self.trials.values() if trial.status is Status.RUNNING
        )

    # How it happens, the first time and again

    def _record(self, event: Event) -> Event:
        event["time"] = round(time.time(), 3)
        self._write(event)
        return event

    def _begin(self, event: Event) -> None:
        self.trials[event["trial"]] = Trial(
            event["trial"], event["configuration"], event["seed"], event["time"]
        )

    def _resume_trial(self, event: Event) -> None:
        self._begin(event)
        if event["trial"] != DEFAULTS_TRIAL:
            self.algorithm.adopt(event["trial"], event["configuration"])

    def _take_in(self, event: Event) -> Decision:
        trial = self.trials[event["trial"]]
        competes = trial.name != DEFAULTS_TRIAL
        trial.curve += event["epochs"]
        trial.seconds += sum(row["seconds"] for row in event["epochs"])
        diverged = event["stop_reason"] == "diverged"
        if event["saved_epoch"] is not None:
            saved = trial.curve[event["saved_epoch"] - 1]
            # A restarted trial begins again with worse models than it had saved before.
            if saved[OBJECTIVE] < trial.saved_loss:
                trial.saved = saved
            if competes and (self._best is None or trial.saved_loss < self._best.saved_loss):
                self._best = trial
        for row in event["epochs"]:
            if competes and row["epoch"] in self.scheduler.rungs:
                # The loss of training alone can diverge, with a finite one of validation.
                worst = row[OBJECTIVE] is None or (diverged and row is event["epochs"][-1])
                loss = math.inf if worst else row[OBJECTIVE]
                seen = Observation(trial.configuration, row["epoch"], loss, finished=False)
                self.algorithm.tell(trial.name, seen)
                if self.scheduler.decide(trial.name, row["epoch"], loss) is Decision.STOP:
                    self._end(trial, Status.DIVERGED if diverged else Status.STOPPED_EARLY)
                    return Decision.STOP
        if event["stop_reason"] is None:
            return Decision.CONTINUE
        self._end(trial, Status.DIVERGED if diverged else Status.FINISHED)
        return Decision.STOP

    def _end(self, trial: Trial, status: Status) -> None:
        trial.status = status
        if trial.name == DEFAULTS_TRIAL:
            return
        loss = math.inf if status is Status.DIVERGED else trial.best_loss
        if status is not Status.STOPPED_EARLY:
            # One that ended by itself competes at the rungs above with what it reached, and one
            # that diverged as the worst; else the rungs would know only those that lived on.
            for rung in self.scheduler.rungs:
                if rung > trial.epochs:
                    self.scheduler.decide(trial.name, rung, loss)
        seen = Observation(trial.configuration, trial.epochs, loss, finished=True)
        self.algorithm.tell(trial.name, seen)

    def _give_up(self, event: Event) -> None:
        trial = self.trials[event["trial"]]
        trial.error = event["error"]
        trial.status = Status.FAILED
        if trial.name != DEFAULTS_TRIAL:
            seen = Observation(trial.configuration, trial.epochs, math.inf, finished=True)
            self.algorithm.tell(trial.name, seen)
