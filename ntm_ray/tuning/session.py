"""One sitting of a job: the engine, the folder that its results stream into, and the observer."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from ntm_ray.tuning.assignment import REPORT_SECONDS, Assignment, Report
from ntm_ray.tuning.kept_models import MEGABYTE, to_drop
from ntm_ray.tuning.progress import Observer, Progress
from ntm_ray.tuning.schedulers import Decision
from ntm_ray.tuning.tables import epochs_table, trials_table
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL, Status, Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntm_ray.tuning.engine import Engine
    from ntm_ray.tuning.folder import JobFolder

# The tables are written as a whole, so a job with many trials must do it more and more rarely.
SHARE_OF_TIME_FOR_TABLES = 0.02
# A report costs the driver some 1.2 ms (benchmarks/overhead.py): so many trials that report twice
# a second keep it busy a quarter of its time; more report less often.
TRIALS_AT_FULL_PACE = 100
# People read slowly, and showing them something costs time.
OBSERVER_SECONDS = 0.2


class Session:
    """What happens on each report, whoever carries the trials out.

    Attributes:
        engine: The job.
        note: What there is to say of the state of things, for the observer.
    """

    def __init__(
        self,
        engine: Engine,
        folder: JobFolder,
        feature_dim: int,
        observer: Observer,
        sync: Callable[[], None],
    ) -> None:
        """Begin, or go on with, a job.

        Args:
            engine: The job.
            folder: Where its results stream into.
            feature_dim: The size of the vocabulary.
            observer: Who is told how far it has come.
            sync: Makes all events of the engine so far durable; `Journal.sync`.
        """
        self.engine = engine
        self.note: str | None = None
        self._folder = folder
        self._feature_dim = feature_dim
        self._observer = observer
        self._sync = sync
        self._budget = int(engine.job.keep_models_mb * MEGABYTE)
        self._begun = time.monotonic()
        self._ended_before = engine.ended
        self._next_tables = 0.0
        self._next_update = 0.0

    def next_assignment(self) -> Assignment | None:
        """The next trial to carry out, if there is one at present."""
        trial = self.engine.next_trial()
        return self.assignment(trial.name) if trial is not None else None

    def assignment(self, name: str) -> Assignment:
        """What a slot needs to know of a trial that begins, or begins again."""
        # So that reports, however many trials run, keep the driver busy for a part of its time.
        pace = max(1.0, self.engine.running / TRIALS_AT_FULL_PACE)
        trial, best = self.engine.trials[name], self.engine.best
        if trial.name == DEFAULTS_TRIAL:
            save_below = -math.inf  # a yardstick's model is not looked at
        elif self._budget:
            save_below = trial.saved_score  # one that was dropped is not saved once more
        else:
            save_below = best.saved_score if best is not None else math.inf
        return Assignment(
            trial=name,
            hyperparameters=self.engine.hyperparameters(trial),
            seed=trial.seed,
            save_below=save_below,
            report_seconds=pace * REPORT_SECONDS,
            keep_states=trial.name != DEFAULTS_TRIAL and self.engine.scheduler.pauses,
            state=self._folder.trial_state(*trial.begins_at) if trial.begins_at else None,
            inherited=trial.goes_on_from[1] if trial.goes_on_from else 0,
        )

    def report(self, report: Report) -> Decision:
        """Take in what a trial reports; says whether it goes on."""
        checkpoint = self.engine.trials[report.trial].checkpoint
        self._keep_best(report)
        decision = self.engine.report(
            report.trial,
            report.rows,
            stop_reason=report.stop_reason,
            saved_epoch=report.saved_epoch,
            state_epoch=report.state_epoch,
            measures=report.measures,
            measured_epoch=report.measured_epoch,
            saved_bytes=report.saved_bytes,
        )
        if decision is not Decision.CONTINUE:
            # Before the slot gets more work, so that no trial that has ended is ever lost.
            self._sync()
        trial = self.engine.trials[report.trial]
        self._drop_models(trial)
        self._drop_states(trial, checkpoint)
        if decision is Decision.STOP and time.monotonic() > self._next_tables:
            self.write_tables()
        self.tell_observer()
        return decision

    def fail(self, name: str, error: str) -> None:
        """Take note that a trial cannot be carried out."""
        trial = self.engine.trials[name]
        checkpoint = trial.checkpoint
        self.engine.fail(name, error)
        self._sync()
        self._drop_models(trial)
        self._drop_states(trial, checkpoint)
        self.tell_observer()

    def tell_observer(self) -> None:
        """Let the observer know how far the job has come, now and then."""
        now = time.monotonic()
        if now >= self._next_update:
            self._next_update = now + OBSERVER_SECONDS
            self._observer.update(self.progress())

    def progress(self) -> Progress:
        """Say how far the job has come."""
        seconds = time.monotonic() - self._begun
        return Progress.of(self.engine, seconds, self._ended_before, self.note)

    def say(self, note: str | None) -> None:
        """Have the observer told something beside the figures; None: no longer."""
        if note != self.note:
            self.note = note
            # At once, since it may be the watching thread that says it while the main one hangs.
            self._observer.update(self.progress())

    def stopping(self) -> None:
        """Let the observer know that the job is being interrupted."""
        self._observer.stopping()

    def write_tables(self) -> None:
        """Bring `trials.parquet` and `epochs.parquet` up to date."""
        begun = time.monotonic()
        trials = self.engine.searched
        fixed = self.engine.job.hyperparameters
        self._folder.write_tables(
            trials_table(trials, fixed, self._feature_dim), epochs_table(trials)
        )
        self._drop_states_below_all()
        now = time.monotonic()
        self._next_tables = now + (now - begun) / SHARE_OF_TIME_FOR_TABLES

    def _keep_best(self, report: Report) -> None:
        # Before the journal says so: killed in between, the journal still has the trial running,
        # and a resumed job trains it again and comes to the same model.
        if report.saved_epoch is None or report.trial == DEFAULTS_TRIAL:
            return
        trial = self.engine.trials[report.trial]
        if trial.status is not Status.RUNNING:
            return
        rows = {row["epoch"]: row for row in trial.curve + report.rows}
        best = self.engine.best
        if best is None or trial.score(rows[report.saved_epoch]) < best.saved_score:
            self._folder.keep_as_best(report.trial, report.saved_epoch)

    def _drop_models(self, trial: Trial) -> None:
        """Remove a trial's earlier models, and those that the budget has no room for.

        The best trial's own copy stays: best/ can be made again of it after a kill. So do the
        later ones of a trial that runs: it may have saved one that it has not reported yet.
        """
        models, going = self.engine.models, []
        if models.bytes > self._budget:
            going = to_drop(models.trials, self.engine.best, self._budget)
        if going:
            # What the journal says is gone may be there for a while; never the other way round.
            self.engine.drop_models(going)
        for one in going:
            # A paused one may go on, and save another, before this is done.
            self._folder.drop_model(one.name, but=None if one.ended else one.epochs + 1)
        if trial.is_kept and trial.saved is not None:
            self._folder.drop_model(trial.name, but=trial.saved["epoch"])
        elif trial.ended and all(trial is not one for one in going):
            self._folder.drop_model(trial.name)

    def _drop_states(self, trial: Trial, checkpoint: int | None) -> None:
        """Remove the states of a trial that it cannot go on from any more.

        Args:
            trial: It, as it is after a report.
            checkpoint: Its checkpoint before that.
        """
        scheduler = self.engine.scheduler
        if scheduler.takes_over:
            # Those of rungs are for others too.
            if checkpoint is None or checkpoint in scheduler.rungs:
                return
            if trial.ended or checkpoint != trial.checkpoint:
                self._folder.drop_state(trial.name, checkpoint)
        elif trial.ended:
            if scheduler.pauses or checkpoint is not None:
                self._folder.drop_states(trial.name)
        else:
            # Only what is before the one that is needed: this may be done much later, and what
            # was trained again after a fault is saved below `trial.epochs`.
            paused = trial.status is Status.PAUSED
            needed = (trial.name, trial.epochs) if paused else trial.begins_at
            if needed is not None and (scheduler.pauses or checkpoint != trial.checkpoint):
                self._folder.drop_states(trial.name, but=needed[1], up_to=needed[1])

    def _drop_states_below_all(self) -> None:
        """Remove states that no trial can take over any more: all are beyond their epochs."""
        live = [trial for trial in self.engine.trials.values() if not trial.ended]
        if not self.engine.scheduler.takes_over or not self.engine.exhausted or not live:
            return
        least = min(
            trial.goes_on_from[1] if trial.goes_on_from else trial.epochs for trial in live
        )
        for trial in self.engine.searched:
            for rung in self.engine.scheduler.rungs:
                if rung < least:
                    self._folder.drop_state(trial.name, rung)
