"""What the doctor judges a saved model by: its folder, and the job folder that it lies in."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from ntm_ray.errors import ModelFolderError
from ntm_ray.model.evidence import Evidence
from ntm_ray.tuning.storage import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILES = ("metrics.json", "hyperparameters.json")
_BEST = "best"
_JOB = "job.yaml"
_DEEPEST = 3
_EPOCHS = "epochs.parquet"
_LOSS = "validation:total_loss"


def evidence_at(place: Place) -> Evidence:
    """Read what a model is judged by; neither torch nor the model's parameters are needed.

    A job's model was saved at a rung, and what came of its training after that is in the job
    folder: it is looked up there for a job folder, and for a local model folder in one.

    Args:
        place: A model folder, or a job folder for its best.

    Raises:
        ModelFolderError: It is neither, or its files cannot be read.
        StorageError: It cannot be reached.
    """
    names = place.names()
    job = None
    if _JOB in names:
        job, place = place, place / _BEST
        names = place.names()
    elif place.is_local:
        # `best` or `models/<trial>/<epoch>`
        above = place.path.parents[:_DEEPEST]
        job = next((Place.at(path) for path in above if (path / _JOB).is_file()), None)
    if missing := [name for name in _FILES if name not in names]:
        raise ModelFolderError(f"{place}: is no model folder: {', '.join(missing)} missing")
    metrics, hyperparameters = (_object_in(place, name) for name in _FILES)
    if not all(isinstance(hyperparameters.get(name), int) for name in ("num_topics", "epochs")):
        raise ModelFolderError(f"{place}: num_topics or epochs missing in hyperparameters.json")
    evidence = Evidence.of(metrics, hyperparameters)
    return evidence if job is None else in_job(evidence, job)


def in_job(evidence: Evidence, job: Place) -> Evidence:
    """Return the same with the whole curve of the trial of a job that the model is of."""
    if evidence.epoch is None or evidence.loss is None:
        return evidence
    return evidence.with_curve(_curve(job, evidence.epoch, evidence.loss))


def _object_in(place: Place, name: str) -> dict[str, Any]:
    try:
        content = json.loads(place.read_bytes(name))
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{place}: {name} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ModelFolderError(f"{place}: {name} must hold one JSON object")
    return content


def _curve(job: Place, epoch: float, loss: float) -> list[Mapping[str, Any]]:
    """The epochs of the trial that a model is of: the one whose loss of that epoch is the same.

    None where there is no such trial, as with one that has taken over another's curve since.
    """
    import pyarrow.parquet as pq  # half a second that a model folder alone need not wait for

    try:
        content = pq.read_table(
            io.BytesIO(job.read_bytes(_EPOCHS)),
            columns=["trial", "epoch", "train:total_loss", _LOSS],
        )
    except (OSError, ValueError, KeyError):
        return []  # not written yet, or not by us
    rows: list[Mapping[str, Any]] = content.to_pylist()
    trial = next(
        (row["trial"] for row in rows if row["epoch"] == epoch and row[_LOSS] == loss), None
    )
    found = [row for row in rows if row["trial"] == trial]
    return sorted(found, key=lambda row: row["epoch"])
