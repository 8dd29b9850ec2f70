"""Hyperband, SageMaker's median rule and population based training, by hand-worked sequences."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.testing.spaces import EVERYTHING, NOTHING
from ntm_ray.tuning import SearchSpace
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.schedulers import Decision, Leg
from ntm_ray.tuning.schedulers.asha import ASHA
from ntm_ray.tuning.schedulers.hyperband import Hyperband
from ntm_ray.tuning.schedulers.median import Median
from ntm_ray.tuning.schedulers.pbt import KEPT, PBT
from tests.tuning.made_up import SPACE, carry_out, job_of, outcome

if TYPE_CHECKING:
    from ntm_ray.tuning.space import Configuration

CONTINUE, STOP, PAUSE = Decision.CONTINUE, Decision.STOP, Decision.PAUSE


# Hyperband


def test_brackets_have_hyperbands_shares() -> None:
    scheduler = Hyperband(81, NOTHING, 0)
    assert scheduler.rungs == (1, 3, 9, 27)
    shares = Counter(scheduler.bracket(f"{number:04d}") for number in range(143))
    assert [shares[bracket] for bracket in range(5)] == [81, 34, 15, 8, 5]


def test_every_bracket_has_its_part_of_the_first_trials_too() -> None:
    scheduler = Hyperband(81, NOTHING, 0)
    shares = Counter(scheduler.bracket(f"{number:04d}") for number in range(29))
    assert [shares[bracket] for bracket in range(5)] == [
        pytest.approx(part * 29 / 143, abs=1) for part in (81, 34, 15, 8, 5)
    ]


def test_a_trials_bracket_depends_on_its_number_alone() -> None:
    one, other = Hyperband(81, NOTHING, 0), Hyperband(81, NOTHING, 1)
    names = [f"{number:04d}" for number in range(50)]
    assert [one.bracket(name) for name in names] == [
        other.bracket(name) for name in reversed(names)
    ][::-1]


def test_trials_are_compared_within_their_bracket_from_its_first_rung_on() -> None:
    scheduler = Hyperband(9, NOTHING, 0)
    of = {bracket: [] for bracket in range(3)}  # type: dict[int, list[str]]
    for number in range(30):
        of[scheduler.bracket(f"{number:04d}")].append(f"{number:04d}")
    first, second = of[0][:2]
    assert scheduler.decide(first, 1, 6.0) is CONTINUE
    assert scheduler.decide(second, 1, 7.0) is STOP
    # The next bracket is not looked at before epoch 3, and not beside the first.
    late, later = of[1][:2]
    assert scheduler.decide(late, 1, 9.0) is CONTINUE
    assert scheduler.decide(later, 1, 9.5) is CONTINUE
    assert scheduler.decide(late, 3, 8.0) is CONTINUE
    assert scheduler.decide(later, 3, 8.5) is STOP
    # The last trains to its end.
    for rung in scheduler.rungs:
        assert scheduler.decide(of[2][0], rung, math.inf) is CONTINUE


@given(st.integers(1, 300), st.integers(2, 5))
def test_hyperband_has_rungs_below_any_budget(max_epochs: int, factor: int) -> None:
    rungs = Hyperband(max_epochs, NOTHING, 0, reduction_factor=factor).rungs
    assert rungs == tuple(factor**k for k in range(20) if factor**k < max_epochs)


# The median rule


def test_a_value_worse_than_the_median_of_running_averages_is_stopped() -> None:
    scheduler = Median(5, NOTHING, 0)
    for trial, losses in {"0000": (9.0, 7.0), "0001": (8.0, 7.0), "0002": (7.0, 6.8)}.items():
        assert [scheduler.decide(trial, rung, loss) for rung, loss in enumerate(losses, 1)] == [
            CONTINUE,
            CONTINUE,
        ]
    # At epoch 2 the averages are 8.0, 7.5 and 6.9: their median is 7.5.
    assert scheduler.decide("0003", 1, 8.0) is CONTINUE
    assert scheduler.decide("0003", 2, 7.4) is CONTINUE
    assert scheduler.decide("0004", 1, 8.0) is CONTINUE
    # With 0003 four averages: 8.0, 7.7, 7.5, 6.9; the median is 7.6.
    assert scheduler.decide("0004", 2, 7.7) is STOP


def test_the_value_itself_is_compared_and_not_its_average() -> None:
    scheduler = Median(5, NOTHING, 0)
    scheduler.decide("0000", 1, 7.0)
    scheduler.decide("0000", 2, 6.0)
    # The average of 0001 is 6.7, worse than 6.5; its value at epoch 2 is better.
    assert scheduler.decide("0001", 1, 7.0) is CONTINUE
    assert scheduler.decide("0001", 2, 6.4) is CONTINUE
    assert scheduler.decide("0002", 1, 7.0) is CONTINUE
    assert scheduler.decide("0002", 2, 6.9) is STOP


def test_the_first_trial_has_nobody_to_be_worse_than() -> None:
    scheduler = Median(5, NOTHING, 0)
    assert [scheduler.decide("0000", rung, 9.0) for rung in scheduler.rungs] == [CONTINUE] * 4


def test_grace_and_least_trials_put_the_rule_off() -> None:
    patient = Median(5, NOTHING, 0, grace_epochs=2)
    patient.decide("0000", 1, 6.0)
    patient.decide("0000", 2, 6.0)
    assert patient.decide("0001", 1, 9.0) is CONTINUE
    assert patient.decide("0001", 2, 9.0) is STOP
    cautious = Median(5, NOTHING, 0, least_trials=2)
    cautious.decide("0000", 1, 6.0)
    assert cautious.decide("0001", 1, 9.0) is CONTINUE
    assert cautious.decide("0002", 1, 9.0) is STOP


# Population based training


def population(scheduler: PBT, *losses: float) -> list[str]:
    """Begin trials with different configurations, and bring them to the first rung."""
    names = [f"{number:04d}" for number in range(len(losses))]
    for number, name in enumerate(names):
        scheduler.begin(name, configuration_of(number))
    for name, loss in zip(names, losses, strict=True):
        decided = scheduler.decide(name, scheduler.rungs[0], loss)
        assert decided is (PAUSE if math.isfinite(loss) else STOP)
    return names


def configuration_of(number: int) -> Configuration:
    return {
        "optimizer": "adam",
        "batch_norm": number % 2 == 0,
        "encoder_layers": "60,40",
        "learning_rate": 0.001 * (number + 1),
        "mini_batch_size": 10,
        "rescale_gradient": 0.5,
        "weight_decay": 0.0,
    }


def legs(scheduler: PBT) -> list[Leg]:
    return list(iter(lambda: scheduler.next_leg(exhausted=True), None))


def test_the_worst_quarter_takes_over_from_the_best_and_the_others_go_on() -> None:
    scheduler = PBT(50, EVERYTHING, 0)
    assert scheduler.rungs == (5, 10, 15, 20, 25, 30, 35, 40, 45, 49)
    population(scheduler, 6.0, 6.1, 6.2, 6.3, 6.4, 6.5, 6.6, 6.7)
    going_on = {leg.trial: leg for leg in legs(scheduler)}
    assert len(going_on) == 8
    assert {leg.source for leg in going_on.values()} <= {None, "0000", "0001"}
    taken_over = [name for name, leg in going_on.items() if leg.source]
    assert taken_over == ["0006", "0007"]
    assert all(going_on[name].configuration is None for name in sorted(going_on)[:6])


def test_nobody_goes_on_before_all_have_begun_and_all_wait() -> None:
    scheduler = PBT(50, EVERYTHING, 0)
    population(scheduler, 6.0, 6.1)
    assert scheduler.next_leg(exhausted=False) is None
    scheduler.begin("0002", configuration_of(2))
    assert scheduler.next_leg(exhausted=True) is None
    scheduler.decide("0002", 5, 6.2)
    assert len(legs(scheduler)) == 3


def test_who_is_lost_is_not_waited_for_and_not_taken_over_from() -> None:
    scheduler = PBT(50, EVERYTHING, 0)
    names = population(scheduler, 5.0, 6.1, math.inf, 6.3, 6.4)
    # 0000 ends by itself on the way to its second rung, having been the best; 0001 fails.
    for leg in legs(scheduler):
        assert leg.trial != names[2]
    for rung in scheduler.rungs[1:]:
        scheduler.decide(names[0], rung, 5.0)
        scheduler.decide(names[1], rung, math.inf)
    for name in names[3:]:
        assert scheduler.decide(name, 10, 6.2 if name == names[3] else 6.3) is PAUSE
    going_on = legs(scheduler)
    assert [leg.trial for leg in going_on] == names[3:]
    assert going_on[1].source == names[3]


def test_what_is_changed_stays_in_the_space_and_the_network_is_kept() -> None:
    changed = []
    for seed in range(60):
        scheduler = PBT(50, EVERYTHING, seed)
        population(scheduler, 6.0, 6.1, 6.2, 6.3)
        (taken_over,) = (leg for leg in legs(scheduler) if leg.source)
        assert taken_over.configuration is not None
        assert EVERYTHING.contains(taken_over.configuration)
        best = configuration_of(0)
        for name in KEPT & best.keys():
            assert taken_over.configuration[name] == best[name]
        changed.append(taken_over.configuration)
    rates = {round(float(one["learning_rate"]), 6) for one in changed}
    assert {0.0008, 0.0012} <= rates, "by a fifth, up or down"
    assert len(rates) > 10, "or drawn anew"
    assert any(one["weight_decay"] for one in changed), "switched on in some"


def test_a_changed_number_stays_below_its_largest() -> None:
    for seed in range(20):
        scheduler = PBT(50, EVERYTHING, seed)
        for number in range(4):
            scheduler.begin(f"{number:04d}", configuration_of(0) | {"learning_rate": 0.1})
            scheduler.decide(f"{number:04d}", 5, 6.0 + number)
        for leg in legs(scheduler):
            if leg.configuration:
                assert float(leg.configuration["learning_rate"]) <= 0.1


@pytest.mark.parametrize("slots", [1, 5])
def test_a_population_does_not_depend_on_the_slots_also_with_a_favourite(slots: int) -> None:
    first: list[dict[str, Any]] = [
        {"optimizer": "sgd", "learning_rate": 0.01, "mini_batch_size": 100}
    ]
    space = SearchSpace.parse(SPACE.model_dump() | {"first": first}, "with a first")
    job = job_of(space, scheduler="pbt")
    table = []
    for used in (slots, 3):
        engine = Engine(job, list[Any]().append)
        carry_out(engine, slots=used)
        assert engine.trials["0000"].legs, "paused with all the others"
        table.append(outcome(engine))
    assert table[0] == table[1]


def test_the_interval_can_be_given() -> None:
    assert PBT(10, NOTHING, 0, interval=4).rungs == (4, 8, 9)
    assert PBT(1, NOTHING, 0).rungs == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PBT(9, NOTHING, 0, interval=0), "interval = 0: at least 1"),
        (lambda: Hyperband(9, NOTHING, 0, reduction_factor=1), "reduction_factor = 1: at least 2"),
        (lambda: Median(9, NOTHING, 0, grace_epochs=0), "grace_epochs = 0: at least 1"),
        (lambda: ASHA(9, NOTHING, 0, grace_epochs=0), "grace_epochs = 0: at least 1"),
    ],
)
def test_an_option_out_of_its_range_is_refused(make: type, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
