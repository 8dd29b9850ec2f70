"""The files of a job folder that are results: read from wherever it is, written here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from ntm_ray.corpus.atomic import replacing_folder
from ntm_ray.errors import ClusterError, StorageError
from ntm_ray.model.objectives import Objective, objective_named
from ntm_ray.tuning import SearchSpace, Status
from ntm_ray.tuning.found_models import BestTrial, FoundModel
from ntm_ray.tuning.storage import Place
from ntm_ray.tuning.topic_numbers import TopicNumbers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Results = dict[str, bytes]
"""Path below the job folder, with slashes, to content."""

ARCHIVE_LIMIT = 100_000_000
"""Bytes of results that come through the Jobs API."""

_FILES = (
    "job.yaml",
    "corpus.json",
    "result.json",
    "trials.parquet",
    "epochs.parquet",
    "report.html",
)
_REQUIRED = ("job.yaml", "result.json", "best/model.safetensors", "best/metrics.json")
_BEST = re.compile(r"best/[A-Za-z0-9][A-Za-z0-9._-]*")


def is_result(name: str) -> bool:
    """Whether a path below a job folder is one of its results; nothing else is ever written."""
    return name in _FILES or _BEST.fullmatch(name) is not None


def read_results(folder: str, patience: float | None = None) -> Results:
    """Read the results of a job folder: a local path, or a URI of an object store.

    Args:
        folder: The job folder.
        patience: How many seconds passing faults of an object store are waited out.

    Raises:
        ClusterError: If it cannot be read, or has no results yet.
    """
    results: Results = {}
    try:
        place = Place.at(folder) if patience is None else Place.at(folder).with_patience(patience)
        for name in sorted({*_FILES} & {*place.names()}):
            results[name] = place.read_bytes(name)
        with (place / "best").brought_here() as best:
            for file in best.iterdir():
                results[f"best/{file.name}"] = file.read_bytes()
    except FileNotFoundError:
        pass  # what is missing is said below
    except (OSError, StorageError) as error:
        raise ClusterError(f"{folder}: cannot be read: {_in_a_line(error)}") from None
    _check(results, folder)
    return results


def write_results(results: Mapping[str, bytes], output: Path) -> None:
    """Write results as a folder, whole or not at all.

    Raises:
        ClusterError: If one of them is no result of a job, or the folder cannot be written.
    """
    _check(results, "the results")
    check_output(output)
    try:
        with replacing_folder(output) as new:
            (new / "best").mkdir()
            for name, content in results.items():
                (new / name).write_bytes(content)
    except OSError as error:
        raise ClusterError(f"{output}: cannot be written: {error.strerror}") from None


def check_output(output: Path) -> None:
    """See that a folder can take results: it is not there, is empty, or holds fetched ones.

    Raises:
        ClusterError: If it holds something else.
    """
    try:
        there = {path.name for path in output.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise ClusterError(f"{output}: cannot be written: {error.strerror}") from None
    if there and ("result.json" not in there or there - {*_FILES, "best"}):
        raise ClusterError(
            f"{output}: holds something already, and not results that were fetched before; "
            "--output names another folder for them"
        )


@dataclass(frozen=True)
class FetchedResult:
    """What a submitted job found, read from its fetched files; see `TuningResult`."""

    best: BestTrial
    objective: Objective
    values: dict[str, float | None]
    front: list[FoundModel]
    baselines: dict[str, float | None]
    outcomes: dict[Status, int]
    epochs_spent: int
    wall_seconds: float
    place: Place
    interrupted: bool
    faults: dict[str, int]
    topic_numbers: TopicNumbers | None

    @classmethod
    def read(cls, folder: Path, said: Mapping[str, Any]) -> FetchedResult:
        """Put together the files of a folder and what the job printed at its end."""
        best, numbers = said["best"], said["topic_numbers"]
        metrics = json.loads((folder / "best" / "metrics.json").read_text(encoding="utf-8"))
        return cls(
            best=BestTrial(
                trial=best["trial"],
                hyperparameters=best["hyperparameters"],
                epoch=best["epoch"],
                metrics=metrics,
                place=Place.at(folder) / "best",
            ),
            objective=objective_named(said["objective"]["name"]),
            values={
                "best": said["objective"]["value"],
                "defaults": said["objective"]["defaults"],
            },
            front=[FoundModel.from_json_dict(one) for one in said["front"]],
            baselines=said["baselines"],
            outcomes={Status(name): number for name, number in said["trials"].items()},
            epochs_spent=said["epochs_spent"],
            wall_seconds=said["wall_seconds"],
            place=Place.at(folder),
            interrupted=said["interrupted"],
            faults=said["faults"],
            topic_numbers=numbers and TopicNumbers.from_json_dict(numbers),
        )

    @property
    def models_are_here(self) -> bool:
        """Whether models of other trials than the best were fetched: they stay where they are."""
        return False

    @property
    def tuned(self) -> list[str]:
        """The names of the hyperparameters that were searched and that the best trial has."""
        # Not as a `TuningJob`: the job may need a plugin, or an object, that is not here.
        content = yaml.safe_load(self.place.read_bytes("job.yaml"))
        space = SearchSpace.parse(content["search_space"], "search_space")
        free = space.fixing(content["hyperparameters"])
        return [p.name for p in free.parameters if p.is_active(self.best.hyperparameters)]


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check(results: Mapping[str, bytes], where: str) -> None:
    if strangers := [name for name in results if not is_result(name)]:
        raise ClusterError(f"{where}: {strangers[0]!r} is no result of a job")
    if missing := [name for name in _REQUIRED if name not in results]:
        raise ClusterError(f"{where}: {missing[0]} is missing")
