"""One sitting of a job: the engine, the folder that its results stream into, and the observer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ntm_ray.tuning.progress import Observer, Progress
from ntm_ray.tuning.schedulers import Decision
from ntm_ray.tuning.tables import epochs_table, trials_table
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL, OBJECTIVE, Status, Trial

if TYPE_CHECKING:
    from ntm_ray.tuning.engine import Engine
    from ntm_ray.tuning.folder import JobFolder

# The tables are written as a whole, so a job with many trials must do it more and more rarely.
SHARE_OF_TIME_FOR_TABLES = 0.02
# Counting trials for the observer costs time that grows with their number; people read slowly.
OBSERVER_SECONDS = 0.2


class Session:
    """What happens on each report, whoever carries the trials out."""

    def __init__(
        self, engine: Engine, folder: JobFolder, feature_dim: int, observer: Observer
    ) -> None:
        self.engine = engine
        self._folder = folder
        self._feature_dim = feature_dim
        self._observer = observer
        self._begun = time.monotonic()
        self._ended_before = self._ended()
        self._next_tables = 0.0
        self._next_update = 0.0

    def next_trial(self) -> Trial | None:
        """The next trial to carry out, if there is one left."""
        return self.engine.next_trial()

    def report(self, name: str, result: dict[str, Any]) -> Decision:
        """Take in what `NTMTrial.step` returned; says whether the trial goes on."""
        before = self.engine.best
        self._keep_best(name, result)
        decision = self.engine.report(
            name,
            result["rows"],
            stop_reason=result["stop_reason"],
            saved_epoch=result["saved_epoch"],
        )
        self._drop_losers(self.engine.trials[name], before)
        if decision is Decision.STOP and time.monotonic() > self._next_tables:
            self.write_tables()
        self.tell_observer()
        return decision

    def fail(self, name: str, error: str) -> None:
        """Take note that a trial cannot be carried out."""
        self.engine.fail(name, error)
        self._drop_losers(self.engine.trials[name])
        self.tell_observer()

    def tell_observer(self) -> None:
        """Let the observer know how far the job has come, now and then."""
        now = time.monotonic()
        if now >= self._next_update:
            self._next_update = now + OBSERVER_SECONDS
            self._observer.update(self.progress())

    def progress(self) -> Progress:
        """Say how far the job has come."""
        return Progress.of(self.engine, time.monotonic() - self._begun, self._ended_before)

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
        now = time.monotonic()
        self._next_tables = now + (now - begun) / SHARE_OF_TIME_FOR_TABLES

    def _keep_best(self, name: str, result: dict[str, Any]) -> None:
        # Before the journal says so: killed in between, the journal still has the trial running,
        # and a resumed job trains it again and comes to the same model.
        if result["saved_epoch"] is None or name == DEFAULTS_TRIAL:
            return
        trial = self.engine.trials[name]
        if trial.status is not Status.RUNNING:
            return
        rows = {row["epoch"]: row for row in trial.curve + result["rows"]}
        best = self.engine.best
        if best is None or rows[result["saved_epoch"]][OBJECTIVE] < best.saved_loss:
            self._folder.keep_as_best(name)

    def _drop_losers(self, *trials: Trial | None) -> None:
        # The best trial's own copy stays: best/ can be made again of it after a kill.
        for trial in trials:
            if trial not in (None, self.engine.best) and trial.status is not Status.RUNNING:
                self._folder.drop_model(trial.name)

    def _ended(self) -> int:
        return sum(trial.status is not Status.RUNNING for trial in self.engine.searched)
