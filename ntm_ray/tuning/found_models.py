"""The best models of a job's trials: which there are, and which one is handed over.

Made of a job that has just been carried out, or of a job folder alone: then no search algorithm,
no corpus and no Ray is needed, and the job may be interrupted, running, or fetched from elsewhere.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import yaml

from ntm_ray.errors import JobError, StorageError
from ntm_ray.model.measures import MEASURES
from ntm_ray.model.objectives import CHOICES, TOTAL_LOSS, Objective, objective_named
from ntm_ray.tuning.front import FRONT, pareto_front
from ntm_ray.tuning.storage import Place
from ntm_ray.tuning.trial_record import OBJECTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ntm_ray.model import NTM
    from ntm_ray.tuning.trial_record import Trial

# Seconds that a place which does not answer is waited for.
_PATIENCE = 20.0
_MOST_NAMED = 10


@dataclass(frozen=True)
class BestTrial:
    """A trial of a job, and its model.

    Attributes:
        trial: Its name.
        hyperparameters: All 15, as JSON values.
        epoch: The epoch that its model is of, from 1.
        metrics: `validation:total_loss`, `validation:recons_loss` and `validation:kld` at that
            epoch, nats a word, and the model's `MEASURES`.
        place: Where its model is: a folder of the job folder, `best/` that of the best trial.
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
class FoundModel:
    """The best model of a trial.

    Attributes:
        trial: The trial's name.
        epoch: The epoch that it is of.
        figures: Its `validation:total_loss`, nats a word, and `MEASURES`; None where not finite.
        num_topics: How many topics it has.
        is_kept: Whether it is on disk.
    """

    trial: str
    epoch: int
    figures: dict[str, float | None]
    num_topics: int
    is_kept: bool

    def value(self, by: Objective) -> float:
        """What it is worth by an objective; NaN if that cannot be told."""
        return by.value(self.figures, self.num_topics)

    def to_json_dict(self) -> dict[str, Any]:
        """What `result.json` says of a model of the front."""
        front = {name: self.figures[name] for name in FRONT}
        return {
            "trial": self.trial,
            "epoch": self.epoch,
            "num_topics": self.num_topics,
            **front,
            "kept": self.is_kept,
        }

    @classmethod
    def from_json_dict(cls, said: Mapping[str, Any]) -> FoundModel:
        """Take what `to_json_dict` returned."""
        figures = {name: said[name] for name in FRONT}
        return cls(said["trial"], said["epoch"], figures, said["num_topics"], said["kept"])


@dataclass(frozen=True)
class FoundModels:
    """The best models of all trials of a job.

    Attributes:
        place: The job folder.
        objective: What the job searched for.
        models: One a trial that has come to a model, in the order of the trials.
        best: The trial whose model is in `best/`; None if none is.
        keep_models_mb: How much of the disk the job gives them.
    """

    place: Place
    objective: Objective
    models: tuple[FoundModel, ...]
    best: str | None
    keep_models_mb: float

    @classmethod
    def of(
        cls,
        trials: Iterable[Trial],
        fixed: Mapping[str, Any],
        place: Place,
        best: Trial,
        keep_models_mb: float,
    ) -> FoundModels:
        """Those of a job that this process has carried out.

        Args:
            trials: The trials of the search.
            fixed: The job's fixed hyperparameters.
            place: The job folder.
            best: The best trial.
            keep_models_mb: As the job says.
        """
        models = tuple(
            FoundModel(
                trial=trial.name,
                epoch=trial.measured["epoch"],
                figures={OBJECTIVE: trial.measured[OBJECTIVE]}
                | {name: (trial.measures or {}).get(name) for name in MEASURES},
                num_topics=trial.hyperparameters(fixed)["num_topics"],
                is_kept=trial is best or (trial.is_kept and keep_models_mb > 0),
            )
            for trial in trials
            if trial.measured is not None
        )
        return cls(place, best.objective, models, best.name, keep_models_mb)

    @classmethod
    def read(cls, where: str | Path) -> FoundModels:
        """Those of a job folder, by its path or URI.

        Raises:
            JobError: If it is not one, or no trial of it has come to a model.
        """
        place = Place.at(where).with_patience(_PATIENCE)
        try:
            job = yaml.safe_load(place.read_bytes("job.yaml"))
            objective = job.get("objective", TOTAL_LOSS.name)
            rows = pq.read_table(io.BytesIO(place.read_bytes("trials.parquet"))).to_pylist()
        except FileNotFoundError as error:
            if "job.yaml" in place.names():
                raise JobError(f"{where}: no trial has come to a model yet") from error
            raise JobError(f"{where}: not a job folder, job.yaml is missing") from None
        except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
            if isinstance(error, StorageError):
                raise
            raise JobError(f"{where}: not readable: {' '.join(str(error).split())}") from None
        kept = set((place / "models").folders())
        models = tuple(
            FoundModel(
                trial=row["trial"],
                epoch=row["model_epoch"],
                figures={OBJECTIVE: row[f"model_{OBJECTIVE}"]}
                | {name: row.get(name) for name in MEASURES},
                num_topics=row["num_topics"],
                is_kept=f"{row['trial']}/{row['model_epoch']}" in kept,
            )
            for row in rows
            if row.get("model_epoch") is not None
        )
        models = tuple(_as_it_is_now(model, kept, place) for model in models)
        if not models and (place / "best").exists():
            # An older version carried it out, or it has only begun.
            raise JobError(f"{where}: of no model but that in best/ is anything known")
        if not models:
            raise JobError(f"{where}: no trial has come to a model yet")
        best = _in_best(place, models)
        return cls(
            place, objective_named(objective), models, best, float(job.get("keep_models_mb", 0))
        )

    @property
    def front(self) -> list[FoundModel]:
        """Those that no other beats in loss, NPMI and TU at once, in order of loss."""
        placed = []
        for model in self.models:
            loss, npmi, uniqueness = (model.figures[name] for name in FRONT)
            if loss is not None and npmi is not None and uniqueness is not None:
                placed.append((model, (loss, npmi, uniqueness)))
        return [placed[number][0] for number in pareto_front(point for _, point in placed)]

    def best_by(self, by: str | None = None) -> BestTrial:
        """Hand over the best model by another objective, or measure, than the job's.

        Args:
            by: One of `CHOICES`; None: the job's objective.

        Raises:
            JobError: If there is no such name, or the model is not kept; says what is.
        """
        objective = self.objective if by is None else objective_named(by, CHOICES)
        ranked = [model for model in self.models if math.isfinite(model.value(objective))]
        ranked.sort(key=lambda model: objective.score(model.value(objective)))
        if not ranked:
            raise JobError(f"{self.place}: of no trial {objective.name} can be told")
        found = ranked[0]
        if found.trial == self.best:
            return _best_trial(found, self.place / "best")
        if found.is_kept:
            return _best_trial(found, self.place / "models" / found.trial / str(found.epoch))
        raise JobError(self._why_not(found, ranked, objective))

    def trial(self, name: str) -> BestTrial:
        """Hand over the model of a trial.

        Raises:
            JobError: If there is no such trial, or its model is not kept; says what is.
        """
        found = next((model for model in self.models if model.trial == name), None)
        if found is None:
            there = [model.trial for model in self.models if self._has(model)]
            more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
            raise JobError(
                f"{self.place}: trial {name!r} has no model; kept are those of "
                f"{', '.join(there[:_MOST_NAMED])}{more}"
            )
        if name == self.best:
            return _best_trial(found, self.place / "best")
        if found.is_kept:
            return _best_trial(found, self.place / "models" / name / str(found.epoch))
        raise JobError(self._why_not(found, list(self.models), self.objective))

    def _has(self, model: FoundModel) -> bool:
        return model.is_kept or model.trial == self.best

    def _why_not(self, found: FoundModel, ranked: list[FoundModel], by: Objective) -> str:
        said = f"trial {found.trial} ({by.name} {by.words(found.value(by))})"
        line = f"{self.place}: the model of {said} "
        if {"journal.jsonl", "journal"} & {*self.place.names()}:
            line += (
                f"was dropped, to keep within the job's keep_models_mb, {self.keep_models_mb:g}"
            )
        else:
            line += "is not here: of a job that was fetched only the best one is"
        kept = sorted(
            (model for model in ranked if self._has(model)),
            key=lambda model: by.score(model.value(by)),
        )
        if kept:
            name, value = kept[0].trial, by.words(kept[0].value(by))
            line += f"; of those that are here {name} is the best ({value}): --trial {name}"
        return line


def _in_best(place: Place, models: tuple[FoundModel, ...]) -> str | None:
    """The trial whose model is in best/."""
    try:
        metrics = json.loads((place / "best").read_bytes("metrics.json"))
    except (OSError, ValueError):
        return None
    for model in models:
        if (model.epoch, model.figures[OBJECTIVE]) == (metrics["epoch"], metrics[OBJECTIVE]):
            return model.trial
    return None


def _as_it_is_now(model: FoundModel, kept: set[str], place: Place) -> FoundModel:
    """What is there of a trial that has saved a better model since the table was written."""
    names = (name.partition("/") for name in kept)
    # What is half-written has another name.
    epochs = [int(last) for trial, _, last in names if trial == model.trial and last.isdigit()]
    if model.is_kept or not epochs:
        return model
    with (place / "models" / model.trial / str(max(epochs))).brought_here() as folder:
        metrics = json.loads((folder / "metrics.json").read_bytes())
    figures = {name: metrics.get(name) for name in model.figures}
    return replace(model, epoch=metrics["epoch"], figures=figures, is_kept=True)


def _best_trial(found: FoundModel, place: Place) -> BestTrial:
    with place.brought_here() as folder:
        hyperparameters = json.loads((folder / "hyperparameters.json").read_bytes())
        recorded = json.loads((folder / "metrics.json").read_bytes())
    # As `NTM.metrics` has them.
    metrics = {name: one for name, one in recorded.items() if isinstance(one, int | float)}
    return BestTrial(found.trial, hyperparameters, found.epoch, metrics, place)
