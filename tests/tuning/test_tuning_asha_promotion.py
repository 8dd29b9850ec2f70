"""The promotion kind of ASHA, by hand-worked sequences."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.schedulers import Decision
from ntm_ray.tuning.schedulers.promotion import ASHAPromotion
from ntm_ray.tuning.space import SearchSpace
from ntm_ray.tuning.trial_record import Status
from tests.tuning.made_up import as_in_a_journal, carry_out, job_of, outcome

SPACE = SearchSpace(name="empty", parameters=())


def scheduler_with(*losses: float, rung: int = 1) -> ASHAPromotion:
    """A scheduler that trials `0`, `1`, ... have told these losses at a rung."""
    scheduler = ASHAPromotion(27, SPACE, 0)
    for number, loss in enumerate(losses):
        scheduler.decide(f"{number}", rung, loss)
    return scheduler


def promoted(scheduler: ASHAPromotion) -> list[str]:
    """All that may go on now, in their order."""
    names = []
    while leg := scheduler.next_leg(exhausted=False):
        assert (leg.source, leg.configuration) == (None, None)
        names.append(leg.trial)
    return names


def test_every_trial_waits_at_every_rung() -> None:
    scheduler = ASHAPromotion(27, SPACE, 0)
    assert scheduler.pauses
    assert scheduler.rungs == (1, 3, 9)
    for rung in scheduler.rungs:
        assert scheduler.decide("0000", rung, 5.0) is Decision.PAUSE


def test_of_each_three_that_have_reached_a_rung_the_best_goes_on_once() -> None:
    scheduler = scheduler_with(7.0, 5.0)
    assert promoted(scheduler) == []
    scheduler.decide("2", 1, 6.0)
    assert promoted(scheduler) == ["1"]
    for number, loss in (("3", 4.0), ("4", 4.5), ("5", 8.0)):
        scheduler.decide(number, 1, loss)
    # Of six the best two are 3 and 4; 1 has gone on already and is none of them any more.
    assert promoted(scheduler) == ["3", "4"]


def test_who_waits_at_the_highest_rung_goes_first() -> None:
    scheduler = scheduler_with(5.0, 6.0, 7.0)
    for number, loss in (("a", 4.0), ("b", 4.1), ("c", 4.2)):
        scheduler.decide(number, 3, loss)
    assert promoted(scheduler) == ["a", "0"]


def test_of_equal_losses_the_earlier_goes_on() -> None:
    assert promoted(scheduler_with(5.0, 5.0, 5.0))[0] == "0"


def test_a_diverged_trial_ends_and_counts_among_those_that_reached_the_rung() -> None:
    scheduler = scheduler_with(math.inf, 6.0)
    assert scheduler.decide("2", 1, math.nan) is Decision.STOP
    assert promoted(scheduler) == ["1"]
    assert promoted(scheduler_with(math.inf, math.inf, math.inf)) == []


def test_a_restarted_trial_enters_nothing_and_goes_on() -> None:
    scheduler = scheduler_with(5.0, 6.0)
    assert scheduler.decide("0", 1, 5.0) is Decision.CONTINUE
    assert promoted(scheduler) == []


@given(st.lists(st.integers(0, 1000), max_size=60, unique=True))
def test_nobody_goes_on_who_is_not_among_the_best_third_at_that_moment(losses: list[int]) -> None:
    scheduler = ASHAPromotion(27, SPACE, 0)
    for number, loss in enumerate(losses):
        scheduler.decide(f"{number}", 1, loss)
        best = sorted(losses[: number + 1])[: (number + 1) // 3]
        for name in promoted(scheduler):
            assert losses[int(name)] in best


def test_a_job_cut_after_any_event_ends_as_if_it_had_not_been_cut() -> None:
    job = job_of(trials=14, search="tpe", scheduler="asha_promotion")
    journal: list[dict[str, object]] = []
    whole = Engine(job, journal.append)
    carry_out(whole)
    assert whole.is_finished
    assert {trial.legs for trial in whole.searched} >= {0, 1}
    assert whole.counts[Status.STOPPED_EARLY] > 3
    for length in range(len(journal) + 1):
        engine = Engine(job, list[object]().append)
        engine.resume(as_in_a_journal(journal[:length]))
        carry_out(engine)
        assert outcome(engine) == outcome(whole), length
