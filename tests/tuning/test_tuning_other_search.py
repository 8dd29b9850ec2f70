"""Grid, Sobol, Bayesian and Optuna's search: what each is good for, beyond the contract."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.testing.spaces import EVERYTHING, FEW, made_up_loss
from ntm_ray.tuning.names import Chosen
from ntm_ray.tuning.search import Exhausted, Observation, create_search_algorithm
from ntm_ray.tuning.search.dimensions import configuration_at, units_of
from ntm_ray.tuning.search.grid import Grid
from ntm_ray.tuning.search.sobol import Sobol

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntm_ray.tuning.space import Configuration

MODELS = ("bayesian", "optuna", "tpe")


def all_of(grid: Grid) -> list[Configuration]:
    found: list[Configuration] = []
    while True:
        try:
            found.append(grid.propose(f"{len(found):04d}"))
        except Exhausted:
            return found


def best_of(name: str, seed: int, trials: int, loss: Callable[[Configuration], float]) -> float:
    algorithm = create_search_algorithm(name, EVERYTHING, seed)
    best = math.inf
    for number in range(trials):
        drawn = algorithm.propose(f"{number:04d}")
        best = min(best, loss(drawn))
        algorithm.tell(f"{number:04d}", Observation(drawn, 9, loss(drawn), finished=True))
    return best


# The cube


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=9, max_size=9))
def test_a_configuration_comes_back_from_its_place_in_the_cube(units: list[float]) -> None:
    drawn = configuration_at(EVERYTHING, units)
    assert EVERYTHING.contains(drawn)
    places = units_of(EVERYTHING, drawn)
    assert [place is not None for place in places] == [
        parameter.is_active(drawn) for parameter in EVERYTHING.parameters
    ]
    again = configuration_at(EVERYTHING, [0.0 if place is None else place for place in places])
    for name, value in drawn.items():
        exact = not isinstance(value, float) or value == 0
        assert again[name] == (value if exact else pytest.approx(value, rel=1e-9))


# Grid


def test_a_grid_holds_every_combination_once_and_then_ends() -> None:
    found = all_of(Grid(FEW, 0))
    assert len(found) == 5 * 3 * 3  # of 1 to 4: both ends and the middle
    assert len({json.dumps(drawn) for drawn in found}) == len(found)
    assert {drawn["mini_batch_size"] for drawn in found} == {1, 2, 4}


def test_a_grid_does_not_combine_what_a_condition_rules_out() -> None:
    found = all_of(Grid(EVERYTHING, 0, points=2))
    # Batch normalisation, batch size, rescaling, weight decay or none; then what goes with each.
    shared = 2 * 2 * 2 * 3
    assert len(found) == shared * (2 * 2 + 2 * 2 + 2)
    assert all(EVERYTHING.contains(drawn) for drawn in found)
    assert len({json.dumps(drawn) for drawn in found}) == len(found)
    assert {drawn["weight_decay"] for drawn in found} == {0.0, 1e-5, 1e-2}


def test_the_first_of_a_grid_are_spread_over_it() -> None:
    grid = Grid(EVERYTHING, 0)
    first = [grid.propose(f"{number:04d}") for number in range(12)]
    assert {drawn["optimizer"] for drawn in first} == {"adam", "sgd", "adadelta"}
    assert len({drawn["weight_decay"] for drawn in first}) >= 3


def test_a_configuration_from_elsewhere_takes_nothing_out_of_the_grid() -> None:
    grid = Grid(FEW, 0)
    grid.adopt("first", {"optimizer": "adam", "mini_batch_size": 3})
    assert all_of(grid) == all_of(Grid(FEW, 0))


def test_a_grid_of_one_point_a_range_is_refused() -> None:
    with pytest.raises(ValueError, match="points = 1: at least 2"):
        Grid(FEW, 0, points=1)


# Sobol


def test_a_sobol_sequence_leaves_no_quarter_of_a_range_out() -> None:
    sobol = Sobol(EVERYTHING, 3)
    drawn = [sobol.propose(f"{number:04d}") for number in range(64)]
    quarters = [int(4 * (float(one["rescale_gradient"]) - 0.1) / 0.9) for one in drawn]
    assert [quarters.count(quarter) for quarter in range(4)] == [16] * 4


def test_a_sobol_sequence_goes_on_beyond_its_first_points() -> None:
    sobol, other = Sobol(EVERYTHING, 3), Sobol(EVERYTHING, 3)
    drawn = [sobol.propose(f"{number:04d}") for number in range(300)]
    assert other.point(299) == drawn[299]
    assert len({json.dumps(one) for one in drawn}) == 300


# Those that learn


@pytest.mark.parametrize("name", MODELS)
def test_a_model_finds_a_clearly_lower_loss_than_random_search(name: str) -> None:
    margins = [
        best_of("random", seed, 45, made_up_loss) - best_of(name, seed, 45, made_up_loss)
        for seed in range(4)
    ]
    assert np.median(margins) > 0.1, margins


@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns_from_a_rung_before_any_trial_has_ended(name: str) -> None:
    """Trials that only ever reach epoch 3, where what is good shows, are enough."""
    algorithm = create_search_algorithm(name, EVERYTHING, 2)
    found = []
    for number in range(45):
        trial = f"{number:04d}"
        drawn = algorithm.propose(trial)
        loss = made_up_loss(drawn)
        algorithm.tell(trial, Observation(drawn, 3, loss, finished=False))
        algorithm.tell(trial, Observation(drawn, 3, loss, finished=True, stopped=True))
        found.append(loss)
    assert np.median(found[-15:]) < np.median(found[:15]) - 0.5


@pytest.mark.parametrize("name", MODELS)
def test_losses_of_different_epochs_are_not_mixed(name: str) -> None:
    """At epoch 1 losses are lower, as they rise over the training: the model must not fall for it.

    All that went on to epoch 9 have a small rescale_gradient, and of those the smaller are the
    better; all that were stopped at epoch 1 have a large one, and a loss below any at epoch 9.
    """
    algorithm = create_search_algorithm(name, EVERYTHING, 3)
    generator = np.random.default_rng(3)
    for number in range(60):
        trial = f"{number:04d}"
        drawn = EVERYTHING.sample(generator)
        drawn["rescale_gradient"] = 0.1 + 0.9 * float(generator.random())
        algorithm.adopt(trial, drawn)
        rate = float(drawn["rescale_gradient"])
        algorithm.tell(trial, Observation(drawn, 1, 3.0 - rate, finished=False))
        if rate > 0.55:
            seen = Observation(drawn, 1, 3.0 - rate, finished=True, stopped=True)
            algorithm.tell(trial, seen)
        else:
            algorithm.tell(trial, Observation(drawn, 9, 6.0 + rate, finished=False))
            algorithm.tell(trial, Observation(drawn, 9, 6.0 + rate, finished=True))
    proposed = [float(algorithm.propose(f"p{n}")["rescale_gradient"]) for n in range(10)]
    assert np.median(proposed) < 0.45, proposed


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_not_drawn_to_where_trials_diverge(name: str) -> None:
    algorithm = create_search_algorithm(name, EVERYTHING, 4)
    landed = 0
    for number in range(45):
        trial = f"{number:04d}"
        drawn = algorithm.propose(trial)
        diverges = float(drawn["rescale_gradient"]) > 0.7  # a third of the range
        loss = math.inf if diverges else made_up_loss(drawn)
        landed += diverges and number >= 15
        algorithm.tell(trial, Observation(drawn, 9, loss, finished=True))
    assert landed <= 30 / 3, landed


@pytest.mark.parametrize("name", ["bayesian", "optuna"])
def test_startup_trials_say_when_the_first_model_is_made(name: str) -> None:
    few = Chosen(name, {"startup_trials": 3})
    one, other = (create_search_algorithm(choice, EVERYTHING, 5) for choice in (few, name))
    for number in range(6):
        trial = f"{number:04d}"
        drawn = EVERYTHING.sample(np.random.default_rng(number))
        for algorithm in (one, other):
            algorithm.adopt(trial, drawn)
            seen = Observation(drawn, 9, made_up_loss(drawn), finished=True)
            algorithm.tell(trial, seen)
    assert one.propose("0006") != other.propose("0006")
