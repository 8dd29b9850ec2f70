"""What a tuning job found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ntm_ray.model.measures import MEASURES
from ntm_ray.tuning.found_models import BestTrial, FoundModel, FoundModels
from ntm_ray.tuning.tables import LOSSES, epochs_table, trials_table
from ntm_ray.tuning.topic_numbers import TopicNumbers, TopicTrial, topic_numbers
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL, OUTCOMES, Status

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from ntm_ray.model import NTM
    from ntm_ray.model.objectives import Objective
    from ntm_ray.tuning.engine import Engine
    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.storage import Place


@dataclass(frozen=True)
class TuningResult:
    """What a tuning job found, read from its engine and its folder.

    Attributes:
        best: The best trial by the job's objective.
        baselines: `unigram` and `defaults`, `validation:total_loss` in nats a word on the same
            documents: the unigram model of the training documents, and SageMaker's default
            configuration (with the job's fixed hyperparameters) trained the same way. `defaults`
            is None if its trial did not come to an end.
        outcomes: How many trials ended in each way.
        epochs_spent: Epochs trained by all trials of the search.
        wall_seconds: How long the job took, all sessions together.
        place: Where the job folder is.
        interrupted: Whether the job was stopped before all trials were carried out.
    """

    best: BestTrial
    baselines: dict[str, float | None]
    outcomes: dict[Status, int]
    epochs_spent: int
    wall_seconds: float
    place: Place
    interrupted: bool
    _engine: Engine
    _feature_dim: int

    @classmethod
    def of(
        cls,
        engine: Engine,
        model: NTM,
        *,
        place: Place,
        unigram: float,
        wall_seconds: float,
    ) -> TuningResult:
        """Gather the result of an engine that has a best trial, and of that trial's model."""
        best = engine.best
        assert best is not None
        assert best.saved is not None
        defaults = engine.trials.get(DEFAULTS_TRIAL)
        losses = {f"validation:{loss}": best.saved[f"validation:{loss}"] for loss in LOSSES}
        topics = {name: model.metrics[name] for name in MEASURES}
        return cls(
            best=BestTrial(
                trial=best.name,
                hyperparameters=model.hyperparameters.to_json_dict(),
                epoch=best.saved["epoch"],
                metrics=losses | topics,
                place=place / "best",
            ),
            baselines={
                "unigram": unigram,
                "defaults": defaults.best_loss
                if defaults and defaults.status is Status.FINISHED
                else None,
            },
            outcomes={outcome: engine.counts[outcome] for outcome in OUTCOMES},
            epochs_spent=engine.epochs_spent,
            wall_seconds=wall_seconds,
            place=place,
            interrupted=not engine.is_finished,
            _engine=engine,
            _feature_dim=model.hyperparameters.feature_dim,
        )

    @property
    def folder(self) -> Path:
        """The job folder.

        Raises:
            StorageError: It lies in an object store; see `place`.
        """
        return self.place.path

    @property
    def job(self) -> TuningJob:
        """The job that was carried out."""
        return self._engine.job

    @property
    def objective(self) -> Objective:
        """What was searched for."""
        return self._engine.objective

    @property
    def values(self) -> dict[str, float | None]:
        """The objective of the best trial, as `best`, and of the yardstick `defaults`.

        That is None if its trial did not come to an end.
        """
        best, defaults = self._engine.best, self._engine.trials.get(DEFAULTS_TRIAL)
        ended = defaults is not None and defaults.status is Status.FINISHED
        return {
            "best": self.objective.of_score(best.saved_score) if best else None,
            "defaults": self.objective.of_score(defaults.best_score)
            if defaults and ended
            else None,
        }

    @property
    def models_are_here(self) -> bool:
        """Whether `place` has models of other trials than the best, as far as they are kept."""
        return True

    @property
    def models(self) -> FoundModels:
        """The best models of all trials."""
        best = self._engine.best
        assert best is not None
        job = self.job
        return FoundModels.of(
            self._engine.searched, job.hyperparameters, self.place, best, job.keep_models_mb
        )

    @property
    def front(self) -> list[FoundModel]:
        """The models that no other beats in loss, NPMI and TU at once, in order of loss."""
        return self.models.front

    def best_by(self, by: str) -> BestTrial:
        """Hand over the best model by another objective than the job's, as in `npmi`.

        Args:
            by: An objective, `topic_uniqueness` or `topic_diversity`.

        Raises:
            JobError: If there is no such name, or the model is not kept; says what is.
        """
        return self.models.best_by(by)

    @property
    def faults(self) -> dict[str, int]:
        """How often what went wrong around trials, and was made good; and epochs trained again."""
        return self._engine.faults.to_json_dict()

    @cached_property
    def topic_numbers(self) -> TopicNumbers | None:
        """How many topics the trials speak for; None if `num_topics` was not searched."""
        trials = [
            TopicTrial(
                topics=int(self._engine.hyperparameters(trial)["num_topics"]),
                loss=trial.best_loss,
                finished=trial.status is Status.FINISHED,
                live_topics=(trial.measures or {}).get("live_topics"),
            )
            for trial in self._engine.searched
        ]
        return topic_numbers(trials, self.baselines["unigram"])

    def trials(self) -> pa.Table:
        """One row a trial; the content of `trials.parquet`."""
        fixed = self._engine.job.hyperparameters
        return trials_table(self._engine.searched, fixed, self._feature_dim)

    def epochs(self) -> pa.Table:
        """One row a trial and epoch; the content of `epochs.parquet`."""
        return epochs_table(self._engine.searched)

    def to_json_dict(self) -> dict[str, Any]:
        """The object that `--json` prints and `result.json` holds."""
        best = self.best
        losses = {f"validation:{loss}": best.metrics[f"validation:{loss}"] for loss in LOSSES}
        return {
            "best": {
                "trial": best.trial,
                "hyperparameters": best.hyperparameters,
                "epoch": best.epoch,
                **losses,
                **{name: best.metrics[name] for name in MEASURES},
            },
            "objective": {
                "name": self.objective.name,
                "direction": self.objective.direction,
                "value": self.values["best"],
                "defaults": self.values["defaults"],
            },
            "front": [model.to_json_dict() for model in self.front],
            "baselines": self.baselines,
            "trials": {str(outcome): number for outcome, number in self.outcomes.items()},
            "epochs_spent": self.epochs_spent,
            "wall_seconds": round(self.wall_seconds, 1),
            "folder": self.place.uri,
            "interrupted": self.interrupted,
            "faults": self.faults,
            "topic_numbers": self.topic_numbers and self.topic_numbers.to_json_dict(),
        }
