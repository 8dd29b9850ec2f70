"""Which trials' models stay on disk: all of them, as far as they are within the job's budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntm_ray.tuning.front import pareto_front
from ntm_ray.tuning.trial_record import OBJECTIVE, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ntm_ray.tuning.front import Point
    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.trial_record import Trial

MEGABYTE = 1_000_000


class KeptModels:
    """The models that are on disk.

    Attributes:
        bytes: How large they are together.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._trials: dict[str, Trial] = {}

    @property
    def trials(self) -> list[Trial]:
        """The trials whose models they are."""
        return list(self._trials.values())

    def take_in(self, trial: Trial, event: Event) -> None:
        """Enter a report of the journal, in the trial too."""
        before = trial.kept_bytes
        trial.take_in(event)
        self.bytes += trial.kept_bytes - before
        if trial.is_kept:
            self._trials[trial.name] = trial

    def drop(self, event: Event) -> None:
        """Enter that models are gone.

        Raises:
            KeyError: If one of them was not there.
        """
        for name in event["trials"]:
            trial = self._trials.pop(name)
            self.bytes -= trial.kept_bytes
            trial.is_kept = False


def point_of(trial: Trial) -> Point | None:
    """The model of a trial's best epoch, as the front sees it; None if it cannot be placed."""
    measures, row = trial.measures or {}, trial.measured or {}
    loss, npmi, unique = row.get(OBJECTIVE), measures.get("npmi"), measures.get("topic_uniqueness")
    return None if loss is None or npmi is None or unique is None else (loss, npmi, unique)


def front_of(trials: Iterable[Trial]) -> list[Trial]:
    """Those whose models are on the Pareto front, in order of loss."""
    placed = [(trial, point) for trial in trials if (point := point_of(trial)) is not None]
    return [placed[number][0] for number in pareto_front(point for _, point in placed)]


def to_drop(trials: Iterable[Trial], best: Trial | None, budget: int) -> list[Trial]:
    """Say whose models go, so that those that stay are within a budget.

    Those that another model beats in everything go first, and of them the worst by the job's
    objective; those of the front go last, in the same order. That of the best trial stays, and
    so do those of trials that train: they may save a better one at any time.

    Args:
        trials: Those whose models are kept.
        best: The best trial of the job.
        budget: Bytes.
    """
    kept = list(trials)
    excess = sum(trial.saved_bytes for trial in kept) - budget
    if excess <= 0:
        return []
    front = {trial.name for trial in front_of(kept)}
    going = []
    for trial in sorted(kept, key=lambda one: (one.name in front, -one.saved_score)):
        if excess <= 0:
            break
        if trial is not best and trial.status is not Status.RUNNING:
            going.append(trial)
            excess -= trial.saved_bytes
    return going
