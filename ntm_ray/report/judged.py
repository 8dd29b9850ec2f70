"""What trials were compared by, as plots and tables show it: the loss, or another objective."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntm_ray.tuning import OBJECTIVE

if TYPE_CHECKING:
    from ntm_ray.model.objectives import Objective
    from ntm_ray.tuning import TuningResult

BEST_LOSS = f"best_{OBJECTIVE}"
YARDSTICKS = {"defaults": "SageMaker's defaults", "unigram": "unigram model"}


@dataclass(frozen=True)
class Judged:
    """Where the figures of a job's objective are, and what they are called.

    Attributes:
        objective: What it was.
        column: Its column of `epochs.parquet`; `best_column`: that of `trials.parquet`.
        name: What people call it; `axis`: with its unit.
        best: The best trial's.
        yardsticks: Those of the baselines that have one; None where a trial came to no end.
        range: Bounds for an axis, within which the trials that matter differ visibly.
    """

    objective: Objective
    column: str
    best_column: str
    name: str
    axis: str
    best: float
    yardsticks: dict[str, float | None]
    range: tuple[float, float]

    @classmethod
    def of(cls, result: TuningResult) -> Judged:
        """That of a job; the range has room on the side where worse trials lie."""
        objective = result.objective
        if objective.uses_topics:
            best = result.values["best"] or 0.0
            yardsticks = {"defaults": result.values["defaults"]}
            columns = ("objective", "best_objective", objective.name, objective.name)
        else:
            best = result.best.metrics[OBJECTIVE]
            yardsticks = result.baselines
            columns = (OBJECTIVE, BEST_LOSS, "loss", "nats a word")
        marks = [best, *(mark for mark in yardsticks.values() if mark is not None)]
        # If the axis had to hold every trial, those that diverged would squash the others.
        room = max(max(marks) - min(marks), 0.05)
        below, above = (0.4, 0.08) if objective.is_maximized else (0.08, 0.4)
        bounds = min(marks) - below * room, max(marks) + above * room
        return cls(objective, *columns, best, yardsticks, bounds)

    def score(self, row: dict[str, Any]) -> float:
        """What a trial, a row of the table, is put in order by: the best first."""
        return self.objective.score(row[self.best_column])

    def words(self, row: dict[str, Any]) -> str:
        """A trial's best; one that diverged may have none, or one of many digits."""
        best = row[self.best_column]
        if best is not None and abs(best) >= 1e4:
            return f"{best:.1e}"
        return self.objective.words(best)

    @property
    def edge(self) -> float:
        """Where on the axis those are shown that lie beyond its worse end."""
        low, high = self.range
        part = 0.03 if self.objective.is_maximized else 0.97
        return low + part * (high - low)

    def is_beyond(self, best: float | None) -> bool:
        """Whether a trial's best lies beyond the worse end of the axis."""
        return self.objective.score(best) > self.objective.score(self.edge)

    def better(self, one: float, other: float) -> float:
        """The better of two; one of them may be NaN."""
        return min((one, other), key=self._or_worst)

    def _or_worst(self, value: float) -> float:
        return self.objective.score(None if math.isnan(value) else value)
