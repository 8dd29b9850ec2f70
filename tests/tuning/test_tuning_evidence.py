"""Which results a search algorithm's model is made of."""

from __future__ import annotations

import math
from typing import Literal

import pytest

from ntm_ray.tuning.search import Observation
from ntm_ray.tuning.search.evidence import END, Evidence

How = Literal["runs", "ended", "stopped"]
Course = list[tuple[int, float, How]]


def drawn(trial: str) -> dict[str, str | int | float | bool]:
    return {"mini_batch_size": 1 + int(trial)}


def evidence_of(*courses: Course, enough: int = 2) -> Evidence:
    """Evidence of trials 0000, 0001, ... that were told (epoch, loss, how it is) in turn."""
    evidence = Evidence(enough)
    for number, course in enumerate(courses):
        trial = f"{number:04d}"
        evidence.begin(trial, drawn(trial))
        for epoch, loss, how in course:
            finished, stopped = how != "runs", how == "stopped"
            evidence.tell(trial, Observation(drawn(trial), epoch, loss, finished, stopped))
    return evidence


def losses(evidence: Evidence) -> list[float]:
    return [loss for _, loss in evidence.results(100)]


STOPPED: Course = [(1, 7.0, "runs"), (1, 7.0, "stopped")]
STOPPED_AT_3: Course = [(1, 6.9, "runs"), (3, 6.8, "runs"), (3, 6.8, "stopped")]
RUNS_AT_3: Course = [(1, 6.8, "runs"), (3, 6.5, "runs")]
WHOLE: Course = [(1, 6.7, "runs"), (3, 6.4, "runs"), (9, 6.0, "ended")]
BY_ITSELF: Course = [(1, 6.6, "runs"), (2, 6.3, "ended")]
DIVERGED: Course = [(1, math.inf, "runs"), (1, math.inf, "ended")]
FAILED: Course = [(0, math.inf, "ended")]


def test_the_highest_rung_with_enough_results_is_modelled_and_no_other() -> None:
    evidence = evidence_of(STOPPED, STOPPED_AT_3, RUNS_AT_3, WHOLE)
    assert evidence.rung == 3
    assert losses(evidence) == [6.8, 6.5, 6.4]


def test_until_a_rung_has_enough_there_is_nothing_to_model() -> None:
    evidence = evidence_of(STOPPED, STOPPED_AT_3, enough=3)
    assert evidence.rung is None
    assert losses(evidence) == []


def test_whole_trainings_are_above_every_rung() -> None:
    evidence = evidence_of(STOPPED, STOPPED_AT_3, RUNS_AT_3, WHOLE, WHOLE)
    assert evidence.rung == END
    assert losses(evidence) == [6.0, 6.0]


def test_without_rungs_the_ends_are_modelled() -> None:
    evidence = evidence_of([(9, 6.0, "ended")], [(9, 6.1, "ended")])
    assert losses(evidence) == [6.0, 6.1]


def test_who_ended_by_itself_counts_with_its_best_at_the_rungs_above() -> None:
    evidence = evidence_of(BY_ITSELF, STOPPED_AT_3, RUNS_AT_3)
    assert evidence.rung == 3
    assert losses(evidence) == [6.3, 6.8, 6.5]


def test_who_was_stopped_early_is_not_at_the_rungs_above() -> None:
    evidence = evidence_of(STOPPED, STOPPED_AT_3, RUNS_AT_3)
    assert losses(evidence) == [6.8, 6.5]


@pytest.mark.parametrize("lost", [DIVERGED, FAILED])
@pytest.mark.parametrize("first", [True, False])
def test_who_diverged_or_failed_is_the_worst_at_every_rung(lost: Course, first: bool) -> None:
    others = [STOPPED_AT_3, RUNS_AT_3]
    evidence = evidence_of(*([lost, *others] if first else [*others, lost]))
    assert evidence.rung == 3
    assert sorted(losses(evidence)) == [6.5, 6.8, math.inf]


def test_who_diverged_later_is_the_worst_where_it_was_good_too() -> None:
    diverged_later: Course = [(1, 5.0, "runs"), (3, 4.0, "runs"), (4, math.inf, "ended")]
    evidence = evidence_of(STOPPED_AT_3, diverged_later, RUNS_AT_3)
    assert losses(evidence) == [6.8, math.inf, 6.5]
    assert evidence_of(STOPPED_AT_3, diverged_later).rung is None, "one that trained is too few"


def test_diverged_trials_alone_are_not_enough() -> None:
    assert evidence_of(DIVERGED, DIVERGED, DIVERGED).rung is None


def test_pending_is_who_runs_and_is_not_at_the_rung_yet() -> None:
    runs_at_1: Course = [(1, 7.0, "runs")]
    evidence = evidence_of(STOPPED_AT_3, RUNS_AT_3, runs_at_1, [])
    assert evidence.rung == 3
    assert evidence.pending() == [drawn("0002"), drawn("0003")]


def test_of_many_results_the_best_and_the_newest_are_modelled() -> None:
    courses: list[Course] = [
        [(9, 7.0 - 0.01 * n if n < 10 else 8.0 + n, "ended")] for n in range(40)
    ]
    evidence = evidence_of(*courses)
    some = [loss for _, loss in evidence.results(8)]
    assert some == [6.92, 6.91] + [8.0 + n for n in range(34, 40)]


def test_a_loss_told_again_after_a_restart_counts_once() -> None:
    evidence = evidence_of([*RUNS_AT_3, *RUNS_AT_3], STOPPED_AT_3)
    assert losses(evidence) == [6.5, 6.8]


def test_a_configuration_that_a_scheduler_changed_is_modelled_as_it_is_now() -> None:
    evidence = evidence_of(STOPPED_AT_3, RUNS_AT_3)
    evidence.tell("0001", Observation({"mini_batch_size": 99}, 9, 6.1, finished=False))
    assert [configuration for configuration, _ in evidence.results(9)] == [
        drawn("0000"),
        {"mini_batch_size": 99},
    ]


def test_a_trial_that_ended_by_itself_at_a_rung_counts_above_it_too() -> None:
    at_a_rung: Course = [
        (1, 6.6, "runs"),
        (3, 6.2, "runs"),
        (3, 6.2, "ended"),
    ]
    evidence = evidence_of(at_a_rung, at_a_rung, STOPPED_AT_3)
    assert evidence.rung == END
    assert losses(evidence) == [6.2, 6.2]
