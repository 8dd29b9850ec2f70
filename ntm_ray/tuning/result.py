"""What a tuning job found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ntm_ray.tuning.tables import LOSSES, epochs_table, trials_table
from ntm_ray.tuning.topic_numbers import TopicNumbers, TopicTrial, topic_numbers
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL, OUTCOMES, Status

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from ntm_ray.model import NTM
    from ntm_ray.tuning.engine import Engine
    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.storage import Place


@dataclass(frozen=True)
class BestTrial:
    """The trial whose best epoch has the least `validation:total_loss` of the search.

    Attributes:
        trial: Its name.
        hyperparameters: All 15, as JSON values.
        epoch: Its best epoch, from 1.
        metrics: `validation:total_loss`, `validation:recons_loss` and `validation:kld` at that
            epoch, nats a word; `kl_per_document`, nats; `topic_uniqueness` of the top 10 words.
        place: Where its model is: `best/` of the job folder.
    """

    trial: str
    hyperparameters: dict[str, Any]
    epoch: int
    metrics: dict[str, float]
    place: Place

    @property
    def folder(self) -> Path:
        """Its model folder.

        Raises:
            StorageError: It lies in an object store; see `place`.
        """
        return self.place.path

    def model(self, device: str = "cpu") -> NTM:
        """Load the model as it was at its best epoch."""
        from ntm_ray.model import NTM

        with self.place.brought_here() as folder:
            return NTM.load(folder, device=device)


@dataclass(frozen=True)
class TuningResult:
    """What a tuning job found, read from its engine and its folder.

    Attributes:
        best: The best trial.
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
        topics = {name: model.metrics[name] for name in ("kl_per_document", "topic_uniqueness")}
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
                "kl_per_document": best.metrics["kl_per_document"],
                "topic_uniqueness": best.metrics["topic_uniqueness"],
            },
            "baselines": self.baselines,
            "trials": {str(outcome): number for outcome, number in self.outcomes.items()},
            "epochs_spent": self.epochs_spent,
            "wall_seconds": round(self.wall_seconds, 1),
            "folder": self.place.uri,
            "interrupted": self.interrupted,
            "faults": self.faults,
            "topic_numbers": self.topic_numbers and self.topic_numbers.to_json_dict(),
        }
