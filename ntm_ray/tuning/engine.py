"""The search engine: what to try next, what goes on, what is best. It knows no Ray.

Whatever carries trials out asks it for the next trial and tells it what trials report; every step
is in the journal before it has an effect, and `resume` takes the same steps again.

A trial is carried out in legs: a scheduler may pause it at a rung, which frees its slot, and name
it later to go on. Taking in a report costs the same however many trials there are.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.model.objectives import objective_named
from ntm_ray.tuning.faults import FaultKind, FaultLog
from ntm_ray.tuning.journal import replay, report_event
from ntm_ray.tuning.kept_models import KeptModels
from ntm_ray.tuning.schedulers import Decision, Leg, Scheduler, create_scheduler
from ntm_ray.tuning.search import (
    Exhausted,
    Observation,
    SearchAlgorithm,
    create_search_algorithm,
)
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL, OBJECTIVE, EpochRow, Status, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.space import Configuration

# Of the first configurations the one that is known to do best: it competes, but whatever the
# scheduler says it trains to its own end. On the plateau that a topic model begins on, ranks say
# little, and a job should never find less than what is known.
_FAVOURITE = "0000"


class Engine:
    """The state of a job: its trials, and the search algorithm and scheduler that saw them.

    Attributes:
        job: What is searched, and how.
        objective: What trials are compared by.
        trials: All trials by name, the yardstick too.
        best: The trial of the search whose saved model is the best by the job's objective.
        running: How many trials train, the yardstick among them.
        counts: How many trials of the search are in each status.
        epochs_spent: Epochs trained by the trials of the search.
        epochs_saved: Epochs of their budget that trials which have ended did not train.
        models: Those of trials that are kept.
        faults: What went wrong around trials and was made good.
    """

    def __init__(self, job: TuningJob, write: Callable[[Event], None]) -> None:
        """Start with no trials.

        Args:
            job: What is searched, and how.
            write: Called with each event before it takes effect; `Journal.append`.
        """
        self.job = job
        self.objective = objective_named(job.objective)
        self.trials: dict[str, Trial] = {}
        self.counts: Counter[Status] = Counter()
        self.epochs_spent = 0
        self.epochs_saved = 0
        self.models = KeptModels()
        self.faults = FaultLog()
        self.algorithm: SearchAlgorithm = create_search_algorithm(
            job.search, job.free_space, job.seed
        )
        self.scheduler: Scheduler = create_scheduler(
            job.scheduler, job.epochs, job.free_space, job.seed
        )
        # Half of the trials at least are the search algorithm's own.
        first = job.free_space.first if job.first_configurations else ()
        self._first = first[: max(1, job.trials // 2)]
        self._write = write
        self._searched: list[Trial] = []
        self.running = 0
        self._paused: dict[str, Trial] = {}
        self._nothing_left_to_propose = False
        self._to_restart: deque[str] = deque()
        self.best: Trial | None = None

    # What there is to know

    @property
    def searched(self) -> Sequence[Trial]:
        """The trials of the search, in the order of their proposals."""
        return self._searched

    @property
    def ended(self) -> int:
        """How many trials of the search train no further."""
        return len(self._searched) - self.counts[Status.RUNNING] - self.counts[Status.PAUSED]

    @property
    def exhausted(self) -> bool:
        """Whether every trial of the job has been proposed."""
        return DEFAULTS_TRIAL in self.trials and (
            self._nothing_left_to_propose or len(self._searched) >= self.job.trials
        )

    @property
    def is_finished(self) -> bool:
        """Whether every trial of the job has been carried out."""
        return self.exhausted and not self.running and not self._paused

    @property
    def has_more(self) -> bool:
        """Whether `next_trial` may still return a trial, now or after further reports."""
        if self.scheduler.pauses:
            return not self.is_finished
        return bool(self._to_restart) or not self.exhausted

    def hyperparameters(self, trial: Trial) -> dict[str, Any]:
        """What a trial trains with, but for `feature_dim`; little of the job's, if a yardstick."""
        return trial.hyperparameters(self.job.hyperparameters)

    # What happens

    def next_trial(self) -> Trial | None:
        """Say which trial is carried out next: a new one, or a paused one that goes on.

        Returns:
            A trial, which begins at its `goes_on_from`; None if there is none at present, and,
            unless `has_more`, none later.
        """
        while self._to_restart:
            cut_short = self.trials[self._to_restart.popleft()]
            if cut_short.status is Status.RUNNING:
                return cut_short
        if DEFAULTS_TRIAL not in self.trials:
            return self._new(DEFAULTS_TRIAL, self.job.default_configuration, self.job.seed)
        if (
            (trial := self._next_leg())
            or (trial := self._propose())
            or (trial := self._next_leg())
        ):
            return trial
        if self._paused and not self.running:
            self._let_go(self._record({"event": "let_go", "trials": list(self._paused)}))
        return None

    def _next_leg(self) -> Trial | None:
        while leg := self.scheduler.next_leg(exhausted=self.exhausted):
            event = {"event": "leg", "exhausted": self.exhausted, "trial": leg.trial}
            event |= {"source": leg.source, "configuration": leg.configuration}
            trial = self.trials[leg.trial]
            if self._go_on(self._record(event)):
                return trial
        return None

    def _propose(self) -> Trial | None:
        if self.exhausted:
            return None
        number = len(self._searched)
        name = f"{number:04d}"
        if number < len(self._first):
            configuration = self._first[number]
            self.algorithm.adopt(name, configuration)
        else:
            try:
                configuration = self.algorithm.propose(name)
            except Exhausted:
                self._exhaust(self._record({"event": "exhausted"}))
                return None
        # A seed of its own for each trial, whoever runs it and when.
        seed = int(np.random.SeedSequence([self.job.seed, number]).generate_state(1)[0])
        return self._new(name, configuration, seed)

    def _new(self, name: str, configuration: Configuration, seed: int) -> Trial:
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
        **more: Any,
    ) -> Decision:
        """Take in the epochs that a trial has trained since its last report.

        Args:
            name: The trial.
            rows: Its newest epochs in order. One that was reported before, as happens after a
                restart, changes nothing.
            stop_reason: Why the trial itself has ended, if it has: `epochs`, `early_stopping` or
                `diverged`.
            saved_epoch: The epoch whose model is saved, if any is.
            more: What else a `Report` may say, by the names there: `saved_bytes`, `state_epoch`,
                `measures` and `measured_epoch`.

        Returns:
            Whether the trial goes on; paused or stopped, it gives up its slot.
        """
        trial = self.trials[name]
        if trial.status is not Status.RUNNING:
            return Decision.STOP
        new = [row for row in rows if row["epoch"] > trial.epochs]
        event = report_event(
            name,
            new,
            stop_reason,
            saved_epoch,
            repeated=len(rows) - len(new) or None,
            **more,
        )
        return self._take_in(self._record(event))

    def fail(self, name: str, error: str) -> None:
        """Take note that a trial cannot be carried out."""
        if self.trials[name].status is Status.RUNNING:
            self._give_up(self._record({"event": "failed", "trial": name, "error": error}))

    def drop_models(self, trials: list[Trial]) -> None:
        """Take note that the models of trials are no longer kept."""
        event = {"event": "dropped", "trials": [trial.name for trial in trials]}
        self.models.drop(self._record(event))

    def restart(self, name: str | None, kind: FaultKind, **details: str | None) -> None:
        """Take note of a fault; the trial that it cut short, if any, is carried out next.

        The details are those of `Fault`: the `node`, and what was `said`.
        """
        event = {"event": "fault", "kind": str(kind), "trial": name, "node": None, "said": None}
        self.faults.note(self._record(event | details))
        if name is not None:
            self.requeue([name])

    def requeue(self, names: Iterable[str]) -> None:
        """Have trials carried out by whoever asks next, from their last checkpoints."""
        self._to_restart.extend(name for name in names if name not in self._to_restart)

    def resume(self, events: list[Event]) -> None:
        """Take the steps of an earlier session again; trials cut half-way will be restarted.

        Raises:
            JobError: If an event cannot belong to this job.
        """
        steps = {
            "trial": self._resume_trial,
            "leg": self._resume_leg,
            "report": self._take_in,
            "failed": self._give_up,
            "exhausted": self._exhaust,
            "let_go": self._let_go,
            "dropped": self.models.drop,
            "fault": self.faults.note,
            "session": self.faults.driver_begins,
            "end": self.faults.driver_ends,
        }
        replay(events, steps)
        if events:
            self.faults.driver_begins(events[-1])
        self.requeue(t.name for t in self.trials.values() if t.status is Status.RUNNING)

    # How it happens, the first time and again

    def _record(self, event: Event) -> Event:
        event["time"] = round(time.time(), 3)
        self._write(event)
        return event

    def _begin(self, event: Event) -> None:
        trial = Trial(event["trial"], event["configuration"], event["seed"], event["time"])
        trial.objective = self.objective
        self.trials[trial.name] = trial
        self.running += 1
        if trial.name != DEFAULTS_TRIAL:
            self._searched.append(trial)
            self.counts[Status.RUNNING] += 1
            self.scheduler.begin(trial.name, trial.configuration)

    def _resume_trial(self, event: Event) -> None:
        self._begin(event)
        if event["trial"] != DEFAULTS_TRIAL:
            self.algorithm.adopt(event["trial"], event["configuration"])

    def _go_on(self, event: Event) -> bool:
        """Begin a trial's next leg, unless the trial has ended since it was paused."""
        trial = self.trials[event["trial"]]
        if trial.status is not Status.PAUSED:
            return False
        source = self.trials[event["source"] or trial.name]
        if source.epochs < trial.epochs:
            raise ValueError(f"trial {source.name} was never where trial {trial.name} is")
        trial.goes_on_from = source.name, trial.epochs
        # What was trained until now, it has trained as the other one.
        trial.curve = source.curve[: trial.epochs]
        trial.configuration = event["configuration"] or trial.configuration
        trial.legs += 1
        trial.checkpoint = None
        self._become(trial, Status.RUNNING)
        return True

    def _resume_leg(self, event: Event) -> None:
        leg = self.scheduler.next_leg(exhausted=event["exhausted"])
        if leg != Leg(event["trial"], event["source"], event["configuration"]):
            raise ValueError("the scheduler names another trial")
        self._go_on(event)

    def _exhaust(self, event: Event) -> None:  # noqa: ARG002 - as every step
        self._nothing_left_to_propose = True

    def _let_go(self, event: Event) -> None:
        for name in event["trials"]:
            self._end(self.trials[name], Status.STOPPED_EARLY)

    def _take_in(self, event: Event) -> Decision:
        trial = self.trials[event["trial"]]
        competes = trial.name != DEFAULTS_TRIAL
        self.models.take_in(trial, event)
        self.faults.epochs_repeated += event.get("repeated", 0)
        self.epochs_spent += len(event["epochs"]) * competes
        diverged = event["stop_reason"] == "diverged"
        if competes and trial.saved is not None:
            self.best = min(self.best or trial, trial, key=lambda one: one.saved_score)
        for row in event["epochs"]:
            if competes and row["epoch"] in self.scheduler.rungs:
                # The loss of training alone can diverge, with a finite one of validation.
                worst = row[OBJECTIVE] is None or (diverged and row is event["epochs"][-1])
                loss = math.inf if worst else trial.score(row)
                seen = Observation(trial.configuration, row["epoch"], loss, finished=False)
                self.algorithm.tell(trial.name, seen)
                decision = self.scheduler.decide(trial.name, row["epoch"], loss)
                if self._is_favourite(trial) and math.isfinite(loss):
                    continue
                if decision is Decision.STOP:
                    self._end(trial, Status.DIVERGED if diverged else Status.STOPPED_EARLY)
                    return Decision.STOP
                if decision is Decision.PAUSE and event["stop_reason"] is None:
                    self._pause(trial, row["epoch"])
                    return Decision.PAUSE
        if event["stop_reason"] is None:
            return Decision.CONTINUE
        self._end(trial, Status.DIVERGED if diverged else Status.FINISHED)
        return Decision.STOP

    def _is_favourite(self, trial: Trial) -> bool:
        # Schedulers that let trials take over from each other give none up: to be paused with
        # all the others is no harm, and to be missing among them is.
        return bool(self._first) and trial.name == _FAVOURITE and not self.scheduler.takes_over

    def _pause(self, trial: Trial, epoch: int) -> None:
        # It goes on from the state of this epoch; what was trained beyond it comes again.
        self.epochs_spent -= trial.epochs - epoch
        del trial.curve[epoch:]
        trial.checkpoint = None
        self._become(trial, Status.PAUSED)

    def _become(self, trial: Trial, status: Status) -> None:
        self.running += (status is Status.RUNNING) - (trial.status is Status.RUNNING)
        if trial.name != DEFAULTS_TRIAL:
            self.counts[trial.status] -= 1
            self.counts[status] += 1
        self._paused.pop(trial.name, None)
        trial.status = status
        if status is Status.PAUSED:
            self._paused[trial.name] = trial

    def _end(self, trial: Trial, status: Status) -> None:
        self._become(trial, status)
        if trial.name == DEFAULTS_TRIAL:
            return
        self.epochs_saved += self.job.epochs - trial.epochs
        worst = status in (Status.DIVERGED, Status.FAILED)
        loss = math.inf if worst else trial.best_score
        stopped = status is Status.STOPPED_EARLY
        if not stopped:
            # One that ended by itself competes at the rungs above with what it reached, and one
            # that diverged or failed as the worst; else the rungs would know only those that
            # lived on, and a scheduler that waits for a rung to fill would wait for ever.
            for rung in self.scheduler.rungs:
                if rung > trial.epochs:
                    self.scheduler.decide(trial.name, rung, loss)
        seen = Observation(trial.configuration, trial.epochs, loss, finished=True, stopped=stopped)
        self.algorithm.tell(trial.name, seen)

    def _give_up(self, event: Event) -> None:
        trial = self.trials[event["trial"]]
        trial.error = event["error"]
        self._end(trial, Status.FAILED)
