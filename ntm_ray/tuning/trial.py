"""One trial in the process that trains it: from what a slot is handed to what it reports.

It knows no Ray: `ntm_ray.tuning.slot` is what Ray Tune runs.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from ntm_ray.model import NTM, EpochRecord, Hyperparameters, Training
from ntm_ray.model.judge import Judge
from ntm_ray.model.measures import MEASURES
from ntm_ray.model.memory import CUDA_PROCESS
from ntm_ray.model.objectives import objective_named
from ntm_ray.tuning.assignment import Assignment, Report, TrialSetting
from ntm_ray.tuning.saved_state import load_state, save_state

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning.trial_record import EpochRow


class RunningTrial:
    """The training of one trial, and what it saves.

    Its curve depends on the configuration, the seed and the number of threads, and on nothing an
    earlier trial left in the process.
    """

    def __init__(
        self,
        assignment: Assignment,
        corpus: Corpus,
        setting: TrialSetting,
        device: str,
        judge: Judge | None = None,
    ) -> None:
        """Build the model, or take it up where its last leg has left it.

        Args:
            assignment: The trial.
            corpus: What it trains on.
            setting: What all trials share.
            device: Where it trains.
            judge: Of the corpus, where there is one already.
        """
        self.name = assignment.trial
        self._setting = setting
        self._save_below = assignment.save_below
        self._keep_states = assignment.keep_states
        self._report_seconds = assignment.report_seconds
        self._state_epoch: int | None = None
        self._saved_state = time.monotonic()
        self._saved_epoch: int | None = None
        self._saved_bytes: int | None = None
        self._judge = judge or Judge(corpus)
        self._measured_epoch: int | None = None
        hyperparameters = Hyperparameters.parse(
            {"feature_dim": corpus.feature_dim} | assignment.hyperparameters
        )
        self._training = Training(
            hyperparameters,
            corpus,
            seed=assignment.seed,
            device=device,
            precision=setting.precision,
            objective=objective_named(setting.objective),
            judge=self._judge,
        )
        # A CPU's processes share their memory with much else, so theirs cannot be told.
        self._measures_memory = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        if self._measures_memory:
            torch.cuda.reset_peak_memory_stats()
        if assignment.state is not None:
            self._training.load_state_dict(load_state(assignment.state))
            best = self._training.best
            if best is not None and best.epoch <= assignment.inherited:
                self._measured_epoch = best.epoch

    def train(self) -> Report:
        """Train up to the next report: a rung, the end, or after `report_seconds`."""
        training = self._training
        rows = []
        begun = time.monotonic()
        while True:
            record = training.train_epoch()
            rows.append(epoch_row(record))
            at_rung = record.epoch in self._setting.rungs
            if training.finished or at_rung or time.monotonic() - begun > self._report_seconds:
                break
        measures = self._measure_and_save_best() if training.finished or at_rung else None
        if not training.finished and (
            (at_rung and self._keep_states) or self._is_checkpoint_due()
        ):
            place = self._setting.states / self.name / str(record.epoch)
            save_state(training.state_dict(), place)
            self._state_epoch = record.epoch
            self._saved_state = time.monotonic()
        memory = None
        if training.finished and self._measures_memory:
            memory = CUDA_PROCESS + torch.cuda.max_memory_reserved()
        return Report(
            self.name,
            rows,
            training.stop_reason,
            self._saved_epoch,
            self._state_epoch,
            memory,
            measures,
            None if measures is None else self._measured_epoch,
            self._saved_bytes,
        )

    def _is_checkpoint_due(self) -> bool:
        return time.monotonic() - self._saved_state >= self._setting.checkpoint_seconds

    def _measure_and_save_best(self) -> dict[str, float] | None:
        """Return the measures of the best model so far, unless they are known already."""
        best = self._training.best
        if best is None or best.epoch == self._measured_epoch:
            return None
        model = NTM.from_training(self._training, judge=self._judge)
        self._measured_epoch = best.epoch
        score = self._training.score(best)
        if score < self._save_below:
            # A new place for each: who reads one is never overtaken by the next.
            place = self._setting.models / self.name / str(best.epoch)
            with place.new_folder() as folder:
                model.save(folder)
                self._saved_bytes = sum(file.stat().st_size for file in folder.iterdir())
            self._saved_epoch = best.epoch
            self._save_below = score
        found = {name: model.metrics[name] for name in MEASURES}
        return {name: value for name, value in found.items() if math.isfinite(value)}


def epoch_row(record: EpochRecord) -> EpochRow:
    """An epoch as a row of `epochs.parquet`; a loss that is not finite is None."""
    return {
        name: value if math.isfinite(value) else None for name, value in record.metrics().items()
    }
