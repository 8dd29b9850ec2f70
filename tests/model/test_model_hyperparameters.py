from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.errors import HyperparameterError
from ntm_ray.model import SPECIFICATION, Hyperparameters

REQUIRED = {"feature_dim": 2000, "num_topics": 20}


def parse(**changes: Any) -> Hyperparameters:
    return Hyperparameters.parse({**REQUIRED, **changes})


def test_defaults_are_sagemakers() -> None:
    assert parse().to_json_dict() == {
        **REQUIRED,
        "batch_norm": False,
        "clip_gradient": "Infinity",
        "encoder_layers": "auto",
        "encoder_layers_activation": "sigmoid",
        "epochs": 50,
        "learning_rate": 0.001,
        "mini_batch_size": 256,
        "num_patience_epochs": 3,
        "optimizer": "adadelta",
        "rescale_gradient": 1.0,
        "sub_sample": 1.0,
        "tolerance": 0.001,
        "weight_decay": 0.0,
    }


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("num_topics", "20", 20),
        ("num_topics", 20.0, 20),
        ("num_topics", "20.0", 20),
        ("learning_rate", "0.01", 0.01),
        ("learning_rate", "1e-2", 0.01),
        ("learning_rate", 1, 1.0),
        ("batch_norm", "true", True),
        ("batch_norm", "True", True),
        ("batch_norm", "false", False),
        ("clip_gradient", "Inf", math.inf),
        ("clip_gradient", "Infinity", math.inf),
        ("clip_gradient", "0.5", 0.5),
        ("encoder_layers", "60,40", (60, 40)),
        ("encoder_layers", "[60, 40]", (60, 40)),
        ("encoder_layers", [60, 40], (60, 40)),
        ("encoder_layers", (60,), (60,)),
        ("encoder_layers", "60", (60,)),
        ("encoder_layers", "auto", "auto"),
    ],
)
def test_string_forms_of_sagemaker_are_read(name: str, written: object, meant: object) -> None:
    assert getattr(parse(**{name: written}), name) == meant


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("feature_dim", 0, "an integer from 1 to 1000000"),
        ("feature_dim", 1_000_001, "an integer from 1 to 1000000"),
        ("num_topics", 1, "an integer from 2 to 1000"),
        ("num_topics", 1001, "an integer from 2 to 1000"),
        ("num_topics", True, "an integer from 2 to 1000"),
        ("num_topics", 20.5, "an integer from 2 to 1000"),
        ("num_topics", math.inf, "an integer from 2 to 1000"),
        ("num_topics", "many", "an integer from 2 to 1000"),
        ("num_topics", None, "an integer from 2 to 1000"),
        ("batch_norm", 1, "true or false"),
        ("batch_norm", "yes", "true or false"),
        ("clip_gradient", 0.0009, "a number of at least 0.001, or Infinity"),
        ("clip_gradient", math.nan, "a number of at least 0.001, or Infinity"),
        ("encoder_layers", "60,", "positive integers"),
        ("encoder_layers", "60,0", "positive integers"),
        ("encoder_layers", [], "positive integers"),
        ("encoder_layers", "", "positive integers"),
        ("encoder_layers", [True], "positive integers"),
        ("encoder_layers_activation", "gelu", "sigmoid, tanh or relu"),
        ("epochs", 0, "an integer of at least 1"),
        ("learning_rate", 0, "a number from 0.000001 to 1"),
        ("learning_rate", 1.1, "a number from 0.000001 to 1"),
        ("learning_rate", "nan", "a number from 0.000001 to 1"),
        ("learning_rate", False, "a number from 0.000001 to 1"),
        ("mini_batch_size", 10_001, "an integer from 1 to 10000"),
        ("num_patience_epochs", 0, "an integer of at least 1"),
        ("optimizer", "adamw", "sgd, adam, adagrad, adadelta or rmsprop"),
        ("rescale_gradient", 0.0009, "a number from 0.001 to 1"),
        ("sub_sample", 1.01, "a number from 0 to 1"),
        ("tolerance", 0.2, "a number from 0.000001 to 0.1"),
        ("weight_decay", -0.1, "a number from 0 to 1"),
    ],
)
def test_a_value_out_of_range_is_one_line_with_field_value_and_range(
    name: str, value: object, allowed: str
) -> None:
    with pytest.raises(HyperparameterError) as caught:
        parse(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name}: {value!r} is not allowed; allowed is {allowed}")
    assert "\n" not in message


def test_a_missing_value_says_what_is_allowed() -> None:
    with pytest.raises(HyperparameterError, match=r"^num_topics: a value is required; allowed is"):
        Hyperparameters.parse({"feature_dim": 3})


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        HyperparameterError, match=r"^learn_rate: .* did you mean learning_rate\?$"
    ):
        parse(learn_rate=0.1)
    with pytest.raises(HyperparameterError, match=r"^zzz: .* known are feature_dim, num_topics"):
        parse(zzz=1)


def test_several_errors_are_joined_in_one_line() -> None:
    with pytest.raises(HyperparameterError, match=r"^num_topics: .*; optimizer: .*; epoch: ") as e:
        parse(num_topics=1, optimizer="x", epoch=3)
    assert "\n" not in str(e.value)


def test_automatic_layers_are_three_and_two_times_the_topics() -> None:
    assert parse().layer_sizes == (60, 40)
    assert parse(encoder_layers="7,6,5").layer_sizes == (7, 6, 5)


@given(
    clip=st.one_of(st.just(math.inf), st.floats(1e-3, 1e6)),
    layers=st.one_of(st.just("auto"), st.lists(st.integers(1, 5000), min_size=1, max_size=4)),
    rate=st.floats(1e-6, 1.0),
    batch_norm=st.booleans(),
)
def test_json_reads_back_to_the_same_settings(
    clip: float, layers: str | list[int], rate: float, batch_norm: bool
) -> None:
    settings = parse(
        clip_gradient=clip, encoder_layers=layers, learning_rate=rate, batch_norm=batch_norm
    )
    text = json.dumps(settings.to_json_dict(), allow_nan=False)
    assert Hyperparameters.parse(json.loads(text)) == settings
    strings = {name: str(value) for name, value in settings.to_json_dict().items()}
    assert Hyperparameters.parse(strings) == settings


def test_the_specification_says_of_all_fifteen_what_they_are() -> None:
    assert len(SPECIFICATION) == 15
    assert [field.name for field in SPECIFICATION] == list(Hyperparameters.model_fields)
    assert all(field.allowed and field.summary.endswith(".") for field in SPECIFICATION)
    assert [field.name for field in SPECIFICATION if field.required] == list(REQUIRED)
    kinds = {field.name: field.type for field in SPECIFICATION}
    assert kinds["epochs"] == "int"
    assert kinds["batch_norm"] == "bool"
    assert kinds["tolerance"] == "float"
    assert kinds["optimizer"] == "str"
    assert kinds["encoder_layers"] == "int list"
