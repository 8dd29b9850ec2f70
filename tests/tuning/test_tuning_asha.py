"""The scheduler ASHA, by hand-worked sequences."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.errors import JobError
from ntm_ray.tuning.schedulers import Decision, create_scheduler
from ntm_ray.tuning.schedulers.asha import ASHA
from ntm_ray.tuning.space import SearchSpace

SPACE = SearchSpace(name="empty", parameters=())


def goes_on(losses: list[float], rung: int = 1) -> list[bool]:
    """Whether each of some trials, reaching a rung with these losses in turn, goes on."""
    scheduler = ASHA(27, SPACE, 0)
    return [
        scheduler.decide(f"{number:04d}", rung, loss) is Decision.CONTINUE
        for number, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("max_epochs", "rungs"),
    [
        (1, ()),
        (2, (1,)),
        (3, (1,)),
        (4, (1, 3)),
        (9, (1, 3)),
        (27, (1, 3, 9)),
        (28, (1, 3, 9, 27)),
        (81, (1, 3, 9, 27)),
    ],
)
def test_rungs_are_the_powers_of_three_below_the_budget(
    max_epochs: int, rungs: tuple[int, ...]
) -> None:
    assert ASHA(max_epochs, SPACE, 0).rungs == rungs


@pytest.mark.parametrize(
    ("max_epochs", "rungs"), [(4, ()), (5, (4,)), (12, (4,)), (13, (4, 12)), (37, (4, 12, 36))]
)
def test_the_first_rung_can_be_given(max_epochs: int, rungs: tuple[int, ...]) -> None:
    assert ASHA(max_epochs, SPACE, 0, grace_epochs=4).rungs == rungs


@pytest.mark.parametrize(
    ("reached", "best"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2), (7, 3)]
)
def test_of_n_that_reached_a_rung_the_best_third_rounded_up_goes_on(
    reached: int, best: int
) -> None:
    for place in range(reached):
        others = [float(loss) for loss in range(reached) if loss != place]
        assert goes_on([*others, float(place)])[-1] == (place < best), place


def test_the_first_at_a_rung_goes_on_whatever_its_loss() -> None:
    assert goes_on([1e6]) == [True]


def test_trials_that_get_worse_and_worse_are_stopped_but_for_the_first() -> None:
    # Of 4 two go on, but the fourth is worse than all three before it, and so on.
    assert goes_on([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == [True] + 6 * [False]


def test_trials_that_get_better_and_better_all_go_on() -> None:
    assert goes_on([5.0, 4.0, 3.0, 2.0, 1.0]) == [True] * 5


def test_a_mixed_sequence_worked_by_hand() -> None:
    #       n: best  1:1   2:1   3:1   4:2   5:2   6:2   7:3
    losses = [6.0, 6.5, 5.0, 5.5, 5.7, 5.2, 5.4]
    assert goes_on(losses) == [True, False, True, True, False, True, True]


def test_of_equal_losses_as_many_go_on_as_there_is_room_for_as_they_come() -> None:
    # n: best                       1:1   2:1    3:1    4:2   5:2    6:2    7:3
    assert goes_on([5.0] * 7) == [True, False, False, True, False, False, True]
    assert goes_on([4.0, 5.0, 5.0, 5.0]) == [True, False, False, True]


def test_losses_on_the_plateau_count_as_equal_though_they_differ_in_the_third_decimal() -> None:
    plateau = [6.861, 6.860, 6.859, 6.858, 6.857, 6.856, 6.855]
    assert goes_on(plateau) == goes_on([6.86] * 7)
    # What is clearly below it goes on, whoever came before.
    assert goes_on([*plateau, 6.83])[-1]


@pytest.mark.parametrize("worst", [math.inf, math.nan])
def test_a_diverged_trial_never_goes_on_not_even_as_the_first(worst: float) -> None:
    assert goes_on([worst, worst]) == [False, False]


@pytest.mark.parametrize("worst", [math.inf, math.nan])
def test_a_rung_of_diverged_trials_alone_stops_no_sound_one_and_still_compares(
    worst: float,
) -> None:
    # Of 4 two go on, of 5 two, of 6 two: the first and the second best, not the third.
    assert goes_on([worst] * 3 + [6.0, 7.0, 8.0]) == [False] * 3 + [True, True, False]


def test_diverged_trials_count_among_those_that_reached_the_rung() -> None:
    assert goes_on([5.0, 6.0]) == [True, False]
    assert goes_on([5.0, math.inf, math.inf, 6.0]) == [True, False, False, True]


def test_a_restarted_trial_enters_nothing_and_goes_on() -> None:
    scheduler = ASHA(27, SPACE, 0)
    assert scheduler.decide("0000", 1, 5.0) is Decision.CONTINUE
    for _ in range(5):
        assert scheduler.decide("0000", 1, 9.0) is Decision.CONTINUE
    # Still one of two: had the restarts been entered, six of seven would let the second pass.
    assert scheduler.decide("0001", 1, 6.0) is Decision.STOP
    assert scheduler.decide("0002", 1, 5.5) is Decision.STOP


def test_rungs_are_compared_apart() -> None:
    scheduler = ASHA(27, SPACE, 0)
    scheduler.decide("0000", 1, 5.0)
    assert scheduler.decide("0001", 3, 6.0) is Decision.CONTINUE
    assert scheduler.decide("0002", 3, 5.9) is Decision.CONTINUE
    assert scheduler.decide("0003", 1, 5.9) is Decision.STOP


@given(st.lists(st.integers(0, 100).map(lambda n: n / 10) | st.just(math.inf), max_size=40))
def test_whether_a_trial_goes_on_is_its_rank_among_those_so_far(losses: list[float]) -> None:
    decisions = goes_on(losses)
    for number, decided in enumerate(decisions):
        reached = losses[: number + 1]
        better = sum(loss < losses[number] for loss in reached)
        equal = sum(
            loss == losses[number] and before
            for loss, before in zip(losses[:number], decisions, strict=False)
        )
        room = math.ceil(len(reached) / 3)
        assert decided == (math.isfinite(losses[number]) and better + equal < room)


@given(st.lists(st.integers(-3, 20), max_size=40))
def test_only_the_order_of_losses_that_differ_counts(exponents: list[int]) -> None:
    losses = [float(exponent) for exponent in exponents]
    assert goes_on(losses) == goes_on([2.0**loss for loss in losses], rung=9)


def test_without_a_scheduler_there_are_no_rungs_and_nothing_stops() -> None:
    scheduler = create_scheduler("none", 27, SPACE, 0)
    assert scheduler.rungs == ()
    assert scheduler.decide("0000", 1, math.inf) is Decision.CONTINUE


def test_a_misspelt_scheduler_is_told_what_was_probably_meant() -> None:
    with pytest.raises(JobError, match="no scheduler is called 'asah'; did you mean 'asha'"):
        create_scheduler("asah", 27, SPACE, 0)
