"""One trial in the process that trains it: from what a slot is handed to what it reports.

It knows no Ray: `ntm_ray.tuning.slot` is what Ray Tune runs.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntm_ray.model import NTM, EpochRecord, Hyperparameters, Training
from ntm_ray.tuning.saved_state import load_state, save_state

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning.trial_record import EpochRow

# Each report costs the driver time, and nobody watching needs more than a few a second.
REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class TrialSetting:
    """What all trials of a job share.

    Attributes:
        rungs: Epochs that must be reported as the last of a report.
        threads: CPU threads to compute with.
        device: `auto`, `cpu`, `cuda` or `mps`.
        models: The folder in which a trial saves its best model, as a folder of its own name.
        states: The folder in which a trial that may be paused saves what it would go on from, as
            `<trial>/<epoch>`.
    """

    rungs: frozenset[int]
    threads: int
    device: str
    models: Path
    states: Path


@dataclass(frozen=True)
class Assignment:
    """A trial, or a leg of one, as a slot is handed it.

    Attributes:
        trial: The trial's name.
        hyperparameters: What it trains with, but for `feature_dim`.
        seed: Its seed.
        save_below: The `validation:total_loss`, nats a word, that a model must be below to be
            worth saving: one that is not can no longer become the job's best.
        keep_states: Whether it may be paused, so that its state is saved at rungs.
        state: The saved state it goes on from; None: it begins from its seed.
    """

    trial: str
    hyperparameters: dict[str, Any]
    seed: int
    save_below: float
    keep_states: bool
    state: Path | None


@dataclass(frozen=True)
class Report:
    """What a trial has trained since its last report.

    Attributes:
        trial: The trial's name.
        rows: Its newest epochs, in order.
        stop_reason: Why it has ended, if it has: `epochs`, `early_stopping` or `diverged`.
        saved_epoch: The epoch whose model is saved, if any is.
    """

    trial: str
    rows: list[EpochRow]
    stop_reason: str | None
    saved_epoch: int | None


class RunningTrial:
    """The training of one trial, and what it saves.

    Its curve depends on the configuration, the seed and the number of threads, and on nothing an
    earlier trial left in the process.
    """

    def __init__(
        self, assignment: Assignment, corpus: Corpus, setting: TrialSetting, device: str
    ) -> None:
        """Build the model, or take it up where its last leg has left it."""
        self.name = assignment.trial
        self._setting = setting
        self._save_below = assignment.save_below
        self._keep_states = assignment.keep_states
        self._saved_epoch: int | None = None
        hyperparameters = Hyperparameters.parse(
            {"feature_dim": corpus.feature_dim} | assignment.hyperparameters
        )
        self._training = Training(hyperparameters, corpus, seed=assignment.seed, device=device)
        if assignment.state is not None:
            self._training.load_state_dict(load_state(assignment.state))

    def train(self) -> Report:
        """Train up to the next report: a rung, the end, or `REPORT_SECONDS`."""
        training = self._training
        rows = []
        begun = time.monotonic()
        while True:
            record = training.train_epoch()
            rows.append(epoch_row(record))
            at_rung = record.epoch in self._setting.rungs
            if training.finished or at_rung or time.monotonic() - begun > REPORT_SECONDS:
                break
        if training.finished or at_rung:
            self._save_best()
        if at_rung and not training.finished and self._keep_states:
            folder = self._setting.states / self.name / str(record.epoch)
            save_state(training.state_dict(), folder)
        return Report(self.name, rows, training.stop_reason, self._saved_epoch)

    def _save_best(self) -> None:
        best = self._training.best
        if best is not None and best.loss < self._save_below:
            NTM.from_training(self._training).save(self._setting.models / self.name)
            self._saved_epoch = best.epoch
            self._save_below = best.loss


def epoch_row(record: EpochRecord) -> EpochRow:
    """An epoch as a row of `epochs.parquet`; a loss that is not finite is None."""
    return {
        name: value if math.isfinite(value) else None for name, value in record.metrics().items()
    }
