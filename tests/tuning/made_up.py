"""Made-up curves, and a loop of a few lines that carries a job out on them; no Ray anywhere."""

from __future__ import annotations

import json
import math
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.tuning import OBJECTIVE, SearchSpace, TuningJob
from ntm_ray.tuning.schedulers import Decision

if TYPE_CHECKING:
    from ntm_ray.tuning.engine import Engine
    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.trial_record import EpochRow, Trial

SPACE = SearchSpace.parse(
    {
        "name": "made up",
        "parameters": [
            {"name": "optimizer", "type": "categorical", "values": ["adam", "sgd"]},
            {
                "name": "learning_rate",
                "type": "continuous",
                "min": 1e-4,
                "max": 0.1,
                "scaling": "logarithmic",
            },
            {
                "name": "weight_decay",
                "type": "continuous",
                "min": 1e-5,
                "max": 1e-2,
                "scaling": "logarithmic",
                "disabled": 0.0,
                "when": {"optimizer": ["adam"]},
            },
            {"name": "mini_batch_size", "type": "integer", "min": 16, "max": 512},
        ],
    },
    "made up",
)


def job_of(space: SearchSpace = SPACE, **fields: Any) -> TuningJob:
    fixed = {"epochs": 27} | {
        name: fields.pop(name) for name in ("epochs", "mini_batch_size") if name in fields
    }
    fields = {"search": "random", "trials": 12, "seed": 3} | fields
    return TuningJob(corpus="synthetic", hyperparameters=fixed, search_space=space, **fields)


def row_of(epoch: int, loss: float | None) -> EpochRow:
    return {"epoch": epoch, OBJECTIVE: loss, "seconds": 0.5}


def rows_of(*losses: float | None, first: int = 1) -> list[EpochRow]:
    return [row_of(epoch, loss) for epoch, loss in enumerate(losses, start=first)]


class MadeUpTraining:
    """Trains as `RunningTrial` does: reports at rungs, at the end, and every few between."""

    def __init__(self, trial: Trial, job: TuningJob, rungs: tuple[int, ...], every: int) -> None:
        random = np.random.default_rng(trial.seed)
        rate = float(trial.configuration.get("learning_rate", 0.001))
        self._floor = 6 + abs(math.log10(rate) + 2) / 2 + random.random() / 10
        kind = random.choice(["sound", "sound", "diverges", "patient", "diverges late"])
        self._ends = {
            "sound": (job.epochs, "epochs"),
            "diverges": (1, "diverged"),
            "patient": (5, "early_stopping"),
            "diverges late": (4, "diverged"),
        }[str(kind)]
        if self._ends[0] > job.epochs:
            self._ends = (job.epochs, "epochs")
        self._rungs = rungs
        self._every = every
        self._epoch = trial.goes_on_from[1] if trial.goes_on_from else 0
        self._best: tuple[float, int] = min(
            ((row[OBJECTIVE], row["epoch"]) for row in trial.curve[: self._epoch]),
            default=(math.inf, 0),
        )

    def step(self) -> dict[str, Any]:
        rows = []
        while True:
            self._epoch += 1
            last, reason = self._ends
            ended = self._epoch == last
            loss = None
            if not (ended and reason == "diverged"):
                # Not falling all the way, so that the best epoch is not always the last.
                loss = self._floor + 1 / self._epoch + 0.3 * (self._epoch % 4 == 0)
                self._best = min(self._best, (loss, self._epoch))
            rows.append(row_of(self._epoch, loss))
            due = ended or self._epoch in self._rungs
            if due or self._epoch % self._every == 0:
                break
        if due and self._best[1]:
            self._saved = self._best[1]
        return {
            "rows": rows,
            "stop_reason": reason if ended else None,
            "saved_epoch": getattr(self, "_saved", None),
        }


def carry_out(engine: Engine, slots: int = 1, every: int = 4) -> None:
    """Train trials, `slots` at a time and a report each in turn, until there are none left."""
    running: deque[tuple[str, MadeUpTraining]] = deque()
    while True:
        while len(running) < slots and (trial := engine.next_trial()):
            training = MadeUpTraining(trial, engine.job, engine.scheduler.rungs, every)
            running.append((trial.name, training))
        if not running:
            return
        name, training = running.popleft()
        if engine.report(name, **training.step()) is Decision.CONTINUE:
            running.append((name, training))


def as_in_a_journal(events: list[Event]) -> list[Event]:
    back: list[Event] = json.loads(json.dumps(events))
    return back


def outcome(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """All that is known of the trials, but for when they were begun."""
    return {
        name: (t.configuration, t.seed, t.status, t.curve, t.saved, t.seconds, t.error)
        for name, t in engine.trials.items()
    }
