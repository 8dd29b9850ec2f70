"""One trial as Ray Tune runs it: an actor that trains NTMs, one after the other."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
import torch
from ray import tune

from ntm_ray.model import NTM, EpochRecord, Hyperparameters, Training
from ntm_ray.tuning.trial_record import OBJECTIVE

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.corpus import Corpus

# Each report costs the driver time, and nobody watching needs more than a few a second.
REPORT_SECONDS = 0.5
# Ray wants a number in every report. The engine reads `rows`, never this one.
NO_LOSS = 1e9


@dataclass(frozen=True)
class TrialSetting:
    """What all trials of a job share.

    Attributes:
        rungs: Epochs that must be reported as the last of a report, with the best model saved.
        threads: CPU threads to compute with.
        device: `auto`, `cpu`, `cuda` or `mps`.
        models: The folder in which a trial saves its best model, as a folder of its own name.
    """

    rungs: frozenset[int]
    threads: int
    device: str
    models: Path


class NTMTrial(tune.Trainable):
    """Trains one configuration, reports its epochs, and is reset for the next.

    Its curve depends on the configuration, the seed and the number of threads, and on nothing an
    earlier trial left in the process.
    """

    def setup(  # type: ignore[override]  # tune.with_parameters adds to the arguments
        self, config: dict[str, Any], *, corpus: Corpus, setting: TrialSetting
    ) -> None:
        """Take the corpus, shared by all actors of the node, and the first trial."""
        torch.set_num_threads(setting.threads)
        self._corpus = corpus
        self._setting = setting
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        hyperparameters = Hyperparameters.parse(
            {"feature_dim": self._corpus.feature_dim} | config["hyperparameters"]
        )
        self._name: str = config["trial"]
        self._saved_epoch: int | None = None
        self._training = Training(
            hyperparameters, self._corpus, seed=config["seed"], device=self._device()
        )

    def _device(self) -> str:
        if self._setting.device == "auto" and not ray.get_gpu_ids():
            # Ray does not hide the GPUs from an actor that was given none.
            return "mps" if torch.backends.mps.is_available() else "cpu"
        return self._setting.device

    def step(self) -> dict[str, Any]:
        """Train up to the next report: a rung, the end, or `REPORT_SECONDS`."""
        training = self._training
        rows = []
        begun = time.monotonic()
        while True:
            record = training.train_epoch()
            rows.append(epoch_row(record))
            due = training.finished or record.epoch in self._setting.rungs
            if due or time.monotonic() - begun > REPORT_SECONDS:
                break
        if due:
            self._save_best()
        loss = rows[-1][OBJECTIVE]
        return {
            OBJECTIVE: NO_LOSS if loss is None else loss,
            "rows": rows,
            "stop_reason": training.stop_reason,
            "saved_epoch": self._saved_epoch,
            "done": training.finished,
        }

    def _save_best(self) -> None:
        best = self._training.best
        if best is not None and best.epoch != self._saved_epoch:
            model = NTM.from_training(self._training)
            model.save(self._setting.models / self._name)
            self._saved_epoch = best.epoch


def epoch_row(record: EpochRecord) -> dict[str, Any]:
    """An epoch as a row of `epochs.parquet`; a loss that is not finite is None."""
    return {
        name: value if math.isfinite(value) else None for name, value in record.metrics().items()
    }
