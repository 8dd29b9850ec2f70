"""The tables of a job: their columns, which others read by name, and their rows."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa

from ntm_ray.tuning import OBJECTIVE, Status
from ntm_ray.tuning.tables import epochs_table, trials_table
from ntm_ray.tuning.trial_record import Trial

FIXED = {"num_topics": 7, "epochs": 27}


def row_of(epoch: int, loss: float | None) -> dict[str, Any]:
    row = {
        f"{part}:{name}": loss
        for part in ("train", "validation")
        for name in ("total_loss", "recons_loss", "kld")
    }
    return {"epoch": epoch, **row, "seconds": 0.5, "documents_per_second": 800.0}


def trial_of(*losses: float | None, **fields: Any) -> Trial:
    fields = {"configuration": {"optimizer": "adam", "learning_rate": 0.02}} | fields
    trial = Trial("0003", seed=2**32 - 1, started=1_700_000_000.123, **fields)
    trial.curve = [row_of(epoch, loss) for epoch, loss in enumerate(losses, start=1)]
    trial.seconds = 0.5 * len(losses)
    return trial


def test_the_columns_of_the_table_of_trials_stay() -> None:
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    expected = {
        "trial": text,
        "status": text,
        "feature_dim": whole,
        "num_topics": whole,
        "batch_norm": pa.bool_(),
        "clip_gradient": number,
        "encoder_layers": text,
        "encoder_layers_activation": text,
        "learning_rate": number,
        "mini_batch_size": whole,
        "num_patience_epochs": whole,
        "optimizer": text,
        "rescale_gradient": number,
        "sub_sample": number,
        "tolerance": number,
        "weight_decay": number,
        "epochs": whole,
        "best_validation:total_loss": number,
        "last_validation:total_loss": number,
        "seed": whole,
        "started": pa.timestamp("ms", tz="UTC"),
        "seconds": number,
        "model_epoch": whole,
        "model_validation:total_loss": number,
        "kl_per_document": number,
        "completion": number,
        "topic_uniqueness": number,
        "topic_diversity": number,
        "npmi": number,
        "repeated_words": whole,
        "live_topics": whole,
    }
    schema = trials_table([], FIXED, 25).schema
    assert dict(zip(schema.names, schema.types, strict=True)) == expected
    assert schema.names == list(expected)


def test_the_columns_of_the_table_of_epochs_stay() -> None:
    schema = epochs_table([]).schema
    assert schema.names == [
        "trial",
        "epoch",
        "train:total_loss",
        "train:recons_loss",
        "train:kld",
        "validation:total_loss",
        "validation:recons_loss",
        "validation:kld",
        "seconds",
        "documents_per_second",
    ]
    assert schema.types == [pa.string(), pa.int64()] + [pa.float64()] * 8


def test_a_trial_is_a_row_with_all_its_hyperparameters_and_what_became_of_it() -> None:
    measures = {"kl_per_document": 2.5, "npmi": 0.25, "topic_diversity": 0.9, "live_topics": 6}
    trial = trial_of(7.0, 6.5, 6.6, status=Status.STOPPED_EARLY, measures=measures)
    trial.measured = trial.curve[1]
    (row,) = trials_table([trial], FIXED | {"encoder_layers": "60,40"}, 25).to_pylist()
    started = row.pop("started")
    assert started.timestamp() == 1_700_000_000.123
    assert row == {
        "trial": "0003",
        "status": "stopped_early",
        "feature_dim": 25,
        "num_topics": 7,
        "batch_norm": False,
        "clip_gradient": math.inf,
        "encoder_layers": "60,40",
        "encoder_layers_activation": "sigmoid",
        "learning_rate": 0.02,
        "mini_batch_size": 256,
        "num_patience_epochs": 3,
        "optimizer": "adam",
        "rescale_gradient": 1.0,
        "sub_sample": 1.0,
        "tolerance": 0.001,
        "weight_decay": 0.0,
        "epochs": 3,
        "best_validation:total_loss": 6.5,
        "last_validation:total_loss": 6.6,
        "seed": 2**32 - 1,
        "seconds": 1.5,
        "model_epoch": 2,
        "model_validation:total_loss": 6.5,
        "kl_per_document": 2.5,
        "completion": None,
        "topic_uniqueness": None,
        "topic_diversity": 0.9,
        "npmi": 0.25,
        "repeated_words": None,
        "live_topics": 6,
    }


def test_a_hyperparameter_of_our_own_is_a_column_where_a_trial_sets_it() -> None:
    ours = trial_of(6.0, configuration={"decoder": "mixture", "decoder_rate": 30})
    table = trials_table([ours, trial_of(7.0)], FIXED, 25)
    assert table.schema.names[-2:] == ["decoder", "decoder_rate"]
    assert table["decoder"].to_pylist() == ["mixture", "product"]
    assert table["decoder_rate"].to_pylist() == [30.0, 1.0]


def test_what_a_trial_drew_goes_before_what_the_job_fixed() -> None:
    (row,) = trials_table([trial_of(7.0)], FIXED | {"optimizer": "sgd"}, 25).to_pylist()
    assert row["optimizer"] == "adam"


def test_a_loss_that_is_no_number_is_null() -> None:
    (row,) = trials_table([trial_of(None, status=Status.DIVERGED)], FIXED, 25).to_pylist()
    assert row["best_validation:total_loss"] is None
    assert row["last_validation:total_loss"] is None
    assert epochs_table([trial_of(6.5, None)])[OBJECTIVE].to_pylist() == [6.5, None]


def test_a_trial_without_an_epoch_is_a_row_all_the_same() -> None:
    (row,) = trials_table([trial_of(status=Status.FAILED)], FIXED, 25).to_pylist()
    assert (row["epochs"], row["best_validation:total_loss"], row["seconds"]) == (0, None, 0.0)
    assert epochs_table([trial_of()]).num_rows == 0


def test_every_epoch_of_every_trial_is_a_row_in_order() -> None:
    rows = epochs_table([trial_of(7.0, 6.5), trial_of(6.9)]).to_pylist()
    assert rows == [{"trial": "0003"} | row_of(*pair) for pair in ((1, 7.0), (2, 6.5), (1, 6.9))]
