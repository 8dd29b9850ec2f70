"""Search spaces: what they draw, what they hold, and what is refused."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.errors import SearchSpaceError
from ntm_ray.tuning import SearchSpace
from ntm_ray.tuning.space import Categorical, Continuous, Integer

if TYPE_CHECKING:
    from pathlib import Path

RATE = {"name": "learning_rate", "type": "continuous", "min": 1e-4, "max": 0.1}
OPTIMIZER = {"name": "optimizer", "type": "categorical", "values": ["sgd", "adam", "adadelta"]}


def space_of(*parameters: dict[str, Any]) -> SearchSpace:
    return SearchSpace.parse({"name": "test", "parameters": list(parameters)}, "test.yaml")


def complaint(*parameters: dict[str, Any]) -> str:
    with pytest.raises(SearchSpaceError) as caught:
        space_of(*parameters)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("test.yaml: ")
    return message


# Spaces of any shape over some of the hyperparameters


@st.composite
def ranges(draw: st.DrawFn, low: float, high: float, whole: bool) -> dict[str, Any]:
    numbers = st.integers(int(low), int(high)) if whole else st.floats(low, high)
    ends = sorted(draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
    scaling = draw(st.sampled_from(["linear", "logarithmic"] if ends[0] > 0 else ["linear"]))
    kind = "integer" if whole else "continuous"
    return {"type": kind, "min": ends[0], "max": ends[1], "scaling": scaling}


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    optimizers = ["sgd", "adam", "adagrad", "adadelta", "rmsprop"]
    values = draw(st.lists(st.sampled_from(optimizers), min_size=1, unique=True))
    parameters: list[dict[str, Any]] = [
        {"name": "optimizer", "type": "categorical", "values": values}
    ]
    when = st.none() | st.lists(st.sampled_from(values), min_size=1, unique=True)
    for name, low, high, whole in (
        ("learning_rate", 1e-6, 1.0, False),
        ("mini_batch_size", 1, 10_000, True),
        ("weight_decay", 1e-6, 1.0, False),
        ("rescale_gradient", 1e-3, 1.0, False),
    ):
        if draw(st.booleans()):
            parameter = {"name": name} | draw(ranges(low, high, whole))
            if condition := draw(when):
                parameter["when"] = {"optimizer": condition}
            if name == "weight_decay" and draw(st.booleans()):
                parameter["disabled"] = 0.0
            parameters.append(parameter)
    return space_of(*parameters)


@given(spaces(), st.integers(0, 2**32 - 1))
def test_a_space_contains_whatever_it_draws(space: SearchSpace, seed: int) -> None:
    assert space.contains(space.sample(np.random.default_rng(seed)))


@given(spaces(), st.floats(0, 1, exclude_max=True))
def test_every_unit_maps_to_a_value_within_the_ends(space: SearchSpace, unit: float) -> None:
    for parameter in space.parameters:
        value = parameter.from_unit(unit)
        assert parameter.contains(value), parameter
        if isinstance(parameter, Integer):
            assert type(value) is int


@given(spaces(), st.integers(0, 2**32 - 1))
def test_a_draw_less_or_more_by_a_parameter_is_not_of_the_space(
    space: SearchSpace, seed: int
) -> None:
    drawn = space.sample(np.random.default_rng(seed))
    for name in drawn:
        assert not space.contains({k: v for k, v in drawn.items() if k != name})
    assert not space.contains(drawn | {"tolerance": 0.01})


@given(spaces(), st.integers(0, 2**32 - 1), st.data())
def test_fixing_leaves_the_space_of_draws_that_agree_with_it(
    space: SearchSpace, seed: int, data: st.DataObject
) -> None:
    drawn = space.sample(np.random.default_rng(seed))
    names = data.draw(st.sets(st.sampled_from(sorted(drawn))))
    left = space.fixing({name: drawn[name] for name in names})
    assert left.contains({name: value for name, value in drawn.items() if name not in names})


@given(spaces())
def test_a_space_written_as_yaml_is_read_back_the_same(space: SearchSpace) -> None:
    text = yaml.safe_dump(space.model_dump(mode="json", exclude_defaults=True))
    assert SearchSpace.parse(yaml.safe_load(text), "test.yaml") == space


# What is drawn


def shares(parameter: Integer | Continuous | Categorical, number: int) -> dict[object, float]:
    units = (np.arange(number) + 0.5) / number
    counted = Counter(parameter.from_unit(unit) for unit in units)
    return {value: count / number for value, count in counted.items()}


def test_whole_numbers_on_a_linear_scale_are_drawn_equally_often_ends_included() -> None:
    parameter = Integer(name="mini_batch_size", type="integer", min=3, max=7)
    assert shares(parameter, 1000) == dict.fromkeys((3, 4, 5, 6, 7), 0.2)


def test_whole_numbers_on_a_logarithmic_scale_have_shares_of_the_scale_ends_included() -> None:
    parameter = Integer(
        name="mini_batch_size", type="integer", min=1, max=3, scaling="logarithmic"
    )
    found = shares(parameter, 10_000)
    for value in (1, 2, 3):
        expected = math.log((value + 1) / value) / math.log(4)
        assert found[value] == pytest.approx(expected, abs=1e-3)


def test_a_logarithmic_range_draws_each_power_of_ten_equally_often() -> None:
    parameter = Continuous(
        name="learning_rate", type="continuous", min=1e-4, max=0.1, scaling="logarithmic"
    )
    exponents = [
        math.floor(math.log10(float(parameter.from_unit((i + 0.5) / 300)))) for i in range(300)
    ]
    assert Counter(exponents) == {-4: 100, -3: 100, -2: 100}


def test_a_linear_range_draws_each_part_equally_often() -> None:
    parameter = Continuous(name="weight_decay", type="continuous", min=0.0, max=1.0)
    assert parameter.from_unit(0.0) == 0.0
    assert parameter.from_unit(0.25) == 0.25


def test_a_disabled_value_takes_half_of_the_draws_and_the_range_the_other() -> None:
    parameter = Continuous(
        name="weight_decay",
        type="continuous",
        min=1e-4,
        max=1e-2,
        scaling="logarithmic",
        disabled=0.0,
    )
    assert parameter.from_unit(0.0) == parameter.from_unit(0.499) == 0.0
    assert parameter.from_unit(0.5) == pytest.approx(1e-4)
    assert parameter.from_unit(0.75) == pytest.approx(1e-3)


def test_a_conditional_parameter_exists_only_under_its_condition() -> None:
    space = space_of(OPTIMIZER, RATE | {"when": {"optimizer": ["sgd", "adam"]}})
    drawn = [space.sample(np.random.default_rng(seed)) for seed in range(100)]
    assert {("learning_rate" in d, d["optimizer"]) for d in drawn} == {
        (True, "sgd"),
        (True, "adam"),
        (False, "adadelta"),
    }
    assert not space.contains({"optimizer": "adadelta", "learning_rate": 0.01})
    assert not space.contains({"optimizer": "adam"})


def test_a_condition_shifts_no_later_draw() -> None:
    size = {"name": "mini_batch_size", "type": "integer", "min": 16, "max": 2048}
    always = space_of(OPTIMIZER, RATE, size)
    sometimes = space_of(OPTIMIZER, RATE | {"when": {"optimizer": ["sgd"]}}, size)
    for seed in range(20):
        one, other = (s.sample(np.random.default_rng(seed)) for s in (always, sometimes))
        assert one["mini_batch_size"] == other["mini_batch_size"]


def test_one_name_may_stand_twice_under_conditions_that_exclude_each_other() -> None:
    space = space_of(
        OPTIMIZER,
        RATE | {"when": {"optimizer": ["adam"]}},
        RATE | {"max": 1e-3, "when": {"optimizer": ["sgd"]}},
    )
    assert space.contains({"optimizer": "adam", "learning_rate": 0.05})
    assert not space.contains({"optimizer": "sgd", "learning_rate": 0.05})
    assert [p.name for p in space.fixing({"optimizer": "sgd"}).parameters] == ["learning_rate"]
    assert not space.fixing({"optimizer": "sgd"}).contains({"learning_rate": 0.05})


# Fixing


def test_a_fixed_parameter_is_gone_from_the_space() -> None:
    assert [
        p.name for p in space_of(OPTIMIZER, RATE).fixing({"learning_rate": 0.1}).parameters
    ] == ["optimizer"]


def test_fixing_a_condition_drops_what_it_rules_out_and_frees_what_it_fulfils() -> None:
    space = space_of(OPTIMIZER, RATE | {"when": {"optimizer": ["sgd", "adam"]}})
    assert space.fixing({"optimizer": "adadelta"}).parameters == ()
    (rate,) = space.fixing({"optimizer": "adam"}).parameters
    assert (rate.name, rate.when) == ("learning_rate", {})


def test_fixing_what_the_space_does_not_have_leaves_it_as_it_is() -> None:
    space = space_of(OPTIMIZER, RATE)
    assert space.fixing({"num_topics": 20}) == space


# What is refused


def test_a_misspelt_parameter_is_told_what_was_probably_meant() -> None:
    message = complaint(RATE | {"name": "learning_rat"})
    assert "'learning_rat'" in message
    assert "did you mean learning_rate?" in message


def test_a_range_beyond_what_the_ntm_allows_is_refused_with_what_is_allowed() -> None:
    message = complaint(RATE | {"max": 2.0})
    assert "parameter 'learning_rate'" in message
    assert "2.0 is not allowed; allowed is a number from 0.000001 to 1" in message


def test_a_disabled_value_that_the_ntm_does_not_allow_is_refused() -> None:
    assert "0.0 is not allowed" in complaint(RATE | {"disabled": 0.0})


def test_an_unknown_choice_is_refused_with_the_choices_there_are() -> None:
    message = complaint(OPTIMIZER | {"values": ["sgd", "adamw"]})
    assert "'adamw' is not allowed; allowed is sgd, adam, adagrad" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"min": 0.1, "max": 0.1}, "min 0.1 must be below max 0.1"),
        ({"min": 0.2, "max": 0.1}, "min 0.2 must be below max 0.1"),
        (
            {"name": "weight_decay", "min": 0.0, "scaling": "logarithmic"},
            "min 0 must be above 0 for logarithmic scaling",
        ),
        ({"scaling": "log"}, "'linear' or 'logarithmic'"),
        ({"type": "real"}, "'categorical', 'integer', 'continuous'"),
        ({"minimum": 0.1}, "minimum"),
        ({"min": "low"}, "min"),
        ({"max": math.inf, "name": "clip_gradient", "min": 1.0}, "max"),
    ],
)
def test_a_range_that_is_none_is_refused(change: dict[str, Any], reason: str) -> None:
    assert reason in complaint(RATE | change)


def test_a_value_that_stands_twice_is_refused() -> None:
    assert "must differ" in complaint(OPTIMIZER | {"values": ["sgd", "sgd"]})


def test_a_disabled_value_inside_the_range_is_refused() -> None:
    decay = {"name": "weight_decay", "type": "continuous", "min": 0.0, "max": 1.0}
    assert "disabled" in complaint(decay | {"disabled": 0.5})


def test_a_parameter_that_stands_twice_without_conditions_is_refused() -> None:
    assert "parameter 'learning_rate' is there twice" in complaint(RATE, RATE)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ([RATE | {"when": {"optimizer": ["sgd"]}}, OPTIMIZER], "stands before it"),
        ([RATE | {"when": {"optimizer": ["sgd"]}}], "stands before it"),
        ([OPTIMIZER, RATE | {"when": {"optimizer": ["rmsprop"]}}], "['rmsprop']"),
        (
            [
                {"name": "batch_norm", "type": "categorical", "values": [True, False]},
                OPTIMIZER | {"when": {"batch_norm": [True]}},
                RATE | {"when": {"optimizer": ["sgd"]}},
            ],
            "unconditional",
        ),
        (
            [
                {"name": "mini_batch_size", "type": "integer", "min": 16, "max": 64},
                RATE | {"when": {"mini_batch_size": [16]}},
            ],
            "categorical",
        ),
    ],
)
def test_a_condition_must_name_a_value_of_a_choice_made_before(
    parameters: list[dict[str, Any]], reason: str
) -> None:
    assert reason in complaint(*parameters)


def test_a_file_that_is_missing_or_no_space_is_refused_by_its_name(tmp_path: Path) -> None:
    for content, reason in (
        (None, "no such file"),
        ("a: [1", "not a readable YAML file"),
        ("- 1", "a search space is a mapping with `parameters`"),
        ("name: x", "parameters"),
    ):
        file = tmp_path / "mine.yaml"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_text(content)
        with pytest.raises(SearchSpaceError) as caught:
            SearchSpace.read(file)
        assert str(caught.value).startswith(f"{file}: ")
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_misspelt_shipped_space_is_told_what_was_probably_meant() -> None:
    with pytest.raises(SearchSpaceError, match="did you mean 'sagemaker'"):
        SearchSpace.read("sagemakr")


def test_a_space_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text(yaml.safe_dump({"name": "mine", "parameters": [RATE]}))
    assert SearchSpace.read(str(file)) == space_of(RATE).model_copy(update={"name": "mine"})


# First configurations

FIRST = {
    "name": "with first",
    "parameters": [
        {"name": "optimizer", "type": "categorical", "values": ["adam", "sgd"]},
        {
            "name": "learning_rate",
            "type": "continuous",
            "min": 0.001,
            "max": 0.1,
            "when": {"optimizer": ["adam"]},
        },
        {"name": "mini_batch_size", "type": "integer", "min": 16, "max": 512},
    ],
    "first": [
        {"optimizer": "adam", "learning_rate": 0.01, "mini_batch_size": 32},
        {"optimizer": "adam", "learning_rate": 0.01, "mini_batch_size": 64},
        {"optimizer": "sgd", "mini_batch_size": 32},
    ],
}


def test_of_the_first_configurations_those_are_left_that_the_fixed_values_allow() -> None:
    space = SearchSpace.parse(FIRST, "here")
    assert space.fixing({"optimizer": "adam"}).first == (
        {"learning_rate": 0.01, "mini_batch_size": 32},
        {"learning_rate": 0.01, "mini_batch_size": 64},
    )
    assert space.fixing({"mini_batch_size": 100}).first == (
        {"optimizer": "adam", "learning_rate": 0.01},
        {"optimizer": "sgd"},
    )
    assert space.fixing({"optimizer": "sgd", "mini_batch_size": 32}).first == ()
    assert space.fixing({"num_topics": 5}).first == space.first


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "sgd", "learning_rate": 0.01, "mini_batch_size": 32},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "mini_batch_size": 1024},
    ],
)
def test_a_first_configuration_that_is_none_of_the_space_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(
        SearchSpaceError, match=r"here: first: .* is no configuration of this space"
    ):
        SearchSpace.parse(FIRST | {"first": [wrong]}, "here")
