"""The search spaces that come with the package."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntm_ray.model import Hyperparameters
from ntm_ray.tuning.space import Categorical, SearchSpace, shipped_spaces

# "Tune an NTM Model" of the SageMaker developer guide, row by row.
SAGEMAKER_TABLE: list[tuple[str, str, list[object]]] = [
    ("encoder_layers_activation", "categorical", ["sigmoid", "tanh", "relu"]),
    ("learning_rate", "continuous", [1e-4, 0.1]),
    ("mini_batch_size", "integer", [16, 2048]),
    ("optimizer", "categorical", ["sgd", "adam", "adadelta"]),
    ("rescale_gradient", "continuous", [0.1, 1.0]),
    ("weight_decay", "continuous", [0.0, 1.0]),
]


def test_the_sagemaker_space_is_sagemakers_table_in_its_order() -> None:
    rows = [
        (p.name, p.type, list(p.values) if isinstance(p, Categorical) else [p.min, p.max])
        for p in SearchSpace.read("sagemaker").parameters
    ]
    assert rows == SAGEMAKER_TABLE


def test_the_sagemaker_space_scales_by_the_rule_of_two_powers_of_ten() -> None:
    for parameter in SearchSpace.read("sagemaker").parameters:
        assert parameter.when == {}, "SageMaker has no conditions"
        if isinstance(parameter, Categorical):
            continue
        logarithmic = parameter.min > 0 and parameter.max / parameter.min > 100
        assert parameter.scaling == ("logarithmic" if logarithmic else "linear"), parameter.name


def test_the_sagemaker_space_has_no_value_that_is_switched_off() -> None:
    for parameter in SearchSpace.read("sagemaker").parameters:
        assert getattr(parameter, "disabled", None) is None


def test_sagemakers_space_is_listed_first_and_each_file_is_named_as_its_space() -> None:
    spaces = shipped_spaces()
    assert next(iter(spaces)) == "sagemaker"
    assert {name: SearchSpace.read(path).name for name, path in spaces.items()} == {
        name: name for name in spaces
    }


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_draw_of_a_shipped_space_is_a_valid_configuration(name: str) -> None:
    space = SearchSpace.read(name)
    assert space.description
    for seed in range(200):
        drawn = space.sample(np.random.default_rng(seed))
        assert space.contains(drawn)
        Hyperparameters.parse({"feature_dim": 100, "num_topics": 20} | drawn)


def test_the_focused_space_draws_a_learning_rate_only_for_optimizers_that_have_one() -> None:
    space = SearchSpace.read("focused")
    drawn = [space.sample(np.random.default_rng(seed)) for seed in range(300)]
    assert {d["optimizer"] for d in drawn} == {"adam", "rmsprop", "adagrad", "adadelta", "sgd"}
    for configuration in drawn:
        assert ("learning_rate" in configuration) == (configuration["optimizer"] != "adadelta")


def test_the_focused_space_switches_weight_decay_off_half_of_the_time() -> None:
    space = SearchSpace.read("focused")
    decays = [space.sample(np.random.default_rng(seed))["weight_decay"] for seed in range(1000)]
    off = sum(decay == 0 for decay in decays)
    assert abs(off - 500) < 4 * math.sqrt(250)
    assert all(decay == 0 or float(decay) >= 1e-7 for decay in decays)


@pytest.mark.parametrize("name", ["sagemaker", "focused"])
def test_a_shipped_space_begins_with_a_short_portfolio_and_sagemakers_defaults(name: str) -> None:
    space = SearchSpace.read(name)
    assert 4 <= len(space.first) <= 7
    assert all(space.contains(configuration) for configuration in space.first)
    kinds = {(c["optimizer"], c["encoder_layers_activation"]) for c in space.first[:-1]}
    assert len(kinds) == len(space.first) - 1
    given = {"num_topics": 20, "feature_dim": 100}
    defaults = Hyperparameters.parse(given).to_json_dict()
    # adadelta, as SageMaker runs it, has no learning rate.
    assert {
        value == defaults[hyperparameter] for hyperparameter, value in space.first[-1].items()
    } == {True}


def test_the_first_configurations_of_a_fixed_optimizer_are_its_own() -> None:
    space = SearchSpace.read("focused").fixing({"optimizer": "adadelta"})
    assert [c["mini_batch_size"] for c in space.first] == [20, 37, 256]
    assert SearchSpace.read("focused").fixing({"optimizer": "sgd"}).first == ()
