"""The tables of a job: one row a trial, and one row a trial and epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ntm_ray.model.hyperparameters import Hyperparameters
from ntm_ray.model.measures import MEASURES
from ntm_ray.tuning.trial_record import OBJECTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ntm_ray.tuning.trial_record import Trial

LOSSES = ("total_loss", "recons_loss", "kld")
_HYPERPARAMETER_TYPES = {
    "batch_norm": pa.bool_(),
    "encoder_layers": pa.string(),
    "encoder_layers_activation": pa.string(),
    "optimizer": pa.string(),
} | dict.fromkeys(
    ("epochs", "feature_dim", "mini_batch_size", "num_patience_epochs", "num_topics"), pa.int64()
)
# `epochs` is how many were trained; the hyperparameter of that name is the same for all trials.
HYPERPARAMETER_COLUMNS = tuple(n for n in Hyperparameters.model_fields if n != "epochs")

_WHOLE = ("repeated_words", "live_topics")

TRIALS_SCHEMA = pa.schema(
    [("trial", pa.string()), ("status", pa.string())]
    + [(name, _HYPERPARAMETER_TYPES.get(name, pa.float64())) for name in HYPERPARAMETER_COLUMNS]
    + [
        ("epochs", pa.int64()),
        (f"best_{OBJECTIVE}", pa.float64()),
        (f"last_{OBJECTIVE}", pa.float64()),
        ("seed", pa.int64()),
        ("started", pa.timestamp("ms", tz="UTC")),
        ("seconds", pa.float64()),
    ]
    + [("model_epoch", pa.int64()), (f"model_{OBJECTIVE}", pa.float64())]
    + [(name, pa.int64() if name in _WHOLE else pa.float64()) for name in MEASURES]
)
EPOCHS_SCHEMA = pa.schema(
    [("trial", pa.string()), ("epoch", pa.int64())]
    + [(f"{part}:{loss}", pa.float64()) for part in ("train", "validation") for loss in LOSSES]
    + [("seconds", pa.float64()), ("documents_per_second", pa.float64())]
)
# What is looked at after every epoch, where the objective is made of it.
TOPIC_COLUMNS = ("objective", "completion", "npmi", "topic_uniqueness", "topic_diversity")


def trials_table(trials: Iterable[Trial], fixed: dict[str, Any], feature_dim: int) -> pa.Table:
    """Return one row a trial: what it was, and what became of it.

    Args:
        trials: Trials of the search.
        fixed: The job's fixed hyperparameters.
        feature_dim: The number of words in the vocabulary.

    A hyperparameter of our own, which SageMaker NTM has not, is a column where a trial sets it.
    `best_objective` and `last_objective` are columns where the objective is not the loss.
    """
    rows, ours = [], dict[str, Any]()
    has_topics = False
    for trial in trials:
        hyperparameters = Hyperparameters.parse(
            {"feature_dim": feature_dim} | fixed | trial.configuration
        )
        values, own = hyperparameters.to_json_dict(), hyperparameters.extensions
        ours |= own.changed()
        row = own.model_dump()
        row |= {name: values[name] for name in HYPERPARAMETER_COLUMNS}
        row["clip_gradient"] = float(row["clip_gradient"])
        rows.append(
            row
            | {
                "trial": trial.name,
                "status": str(trial.status),
                "epochs": trial.epochs,
                f"best_{OBJECTIVE}": trial.best_loss if math.isfinite(trial.best_loss) else None,
                f"last_{OBJECTIVE}": trial.curve[-1][OBJECTIVE] if trial.curve else None,
                "seed": trial.seed,
                "started": round(trial.started * 1000),
                "seconds": trial.seconds,
            }
            | _of_the_model(trial)
        )
        if trial.objective.uses_topics:
            has_topics = True
            rows[-1] |= {
                "best_objective": trial.objective.of_score(trial.best_score),
                "last_objective": trial.curve[-1]["objective"] if trial.curve else None,
            }
    schema = TRIALS_SCHEMA
    if has_topics:
        for name in ("best_objective", "last_objective"):
            schema = schema.append(pa.field(name, pa.float64()))
    for name in sorted(ours):
        kind = pa.string() if isinstance(ours[name], str) else pa.float64()
        schema = schema.append(pa.field(name, kind))
    return pa.Table.from_pylist(rows, schema=schema)


def _of_the_model(trial: Trial) -> dict[str, Any]:
    """What is known of the model of a trial's best epoch."""
    row = trial.measured or {}
    return (
        dict.fromkeys(MEASURES)
        | {"model_epoch": row.get("epoch"), f"model_{OBJECTIVE}": row.get(OBJECTIVE)}
        | (trial.measures or {})
    )


def epochs_table(trials: Iterable[Trial]) -> pa.Table:
    """Return one row a trial and epoch: losses in nats a word, seconds, documents a second."""
    trials = list(trials)
    schema = EPOCHS_SCHEMA
    if any(trial.objective.uses_topics for trial in trials):
        for name in TOPIC_COLUMNS:
            schema = schema.append(pa.field(name, pa.float64()))
    # By column: a job of thousands of trials has no use for a second copy of its rows.
    columns: list[list[Any]] = [[trial.name for trial in trials for _ in trial.curve]]
    columns += [
        [row.get(name) for trial in trials for row in trial.curve] for name in schema.names[1:]
    ]
    arrays = [
        pa.array(values, type=kind) for values, kind in zip(columns, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
