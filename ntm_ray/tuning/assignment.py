"""What passes between the driver and the slots: assignments one way, reports the other.

The driver needs no torch for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntm_ray.model.objectives import TOTAL_LOSS

if TYPE_CHECKING:
    from ntm_ray.tuning.storage import Place
    from ntm_ray.tuning.trial_record import EpochRow

REPORT_SECONDS = 0.5
"""How often a trial reports between rungs: each report costs the driver time, and nobody watching
needs more than a few a second.
"""


@dataclass(frozen=True)
class TrialSetting:
    """What all trials of a job share.

    Attributes:
        rungs: Epochs that must be reported as the last of a report.
        threads: CPU threads to compute with.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: See `Training`.
        checkpoint_seconds: How often a trial saves its state, in seconds of training.
        objective: The name of what epochs are compared by.
        models: Where a trial saves its best models, each as `<trial>/<epoch>`.
        states: Where a trial that may be paused saves what it would go on from, in the same way.
    """

    rungs: frozenset[int]
    threads: int
    device: str
    precision: str
    checkpoint_seconds: float
    models: Place
    states: Place
    objective: str = TOTAL_LOSS.name


@dataclass(frozen=True)
class Assignment:
    """A trial, or a leg of one, as a slot is handed it.

    Attributes:
        trial: The trial's name.
        hyperparameters: What it trains with, but for `feature_dim`.
        seed: Its seed.
        save_below: The score that a model must be below to be worth saving: that of the trial's
            own that was saved, or where only the best of the job is kept, of that.
        keep_states: Whether it may be paused, so that its state is saved at rungs.
        report_seconds: How often it reports at least, in seconds of training.
        state: The saved state it goes on from; None: it begins from its seed.
        inherited: The epoch that this leg of it begins after. Models up to there were saved by
            whoever trained them: saved again, they could meet removals that are still to come.
    """

    trial: str
    hyperparameters: dict[str, Any]
    seed: int
    save_below: float
    keep_states: bool
    state: Place | None
    report_seconds: float = REPORT_SECONDS
    inherited: int = 0


@dataclass(frozen=True)
class Report:
    """What a trial has trained since its last report.

    Attributes:
        trial: The trial's name.
        rows: Its newest epochs, in order.
        stop_reason: Why it has ended, if it has: `epochs`, `early_stopping` or `diverged`.
        saved_epoch: The epoch whose model is saved, if any is.
        saved_bytes: How large that model is.
        state_epoch: The epoch whose state was the last to be saved in this process.
        measures: `MEASURES` of the model of its best epoch so far, those that are finite; None:
            they are what was reported before.
        measured_epoch: The epoch that they are of.
        memory: Bytes that it took of the device at most, where that can be told, at its end.
    """

    trial: str
    rows: list[EpochRow]
    stop_reason: str | None
    saved_epoch: int | None
    state_epoch: int | None = None
    memory: int | None = None
    measures: dict[str, float] | None = None
    measured_epoch: int | None = None
    saved_bytes: int | None = None
