"""Trials that a scheduler pauses: the engine frees their slots, and lets them go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray.errors import JobError
from ntm_ray.tuning import OBJECTIVE, Status
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.schedulers import Decision, Leg, Scheduler
from ntm_ray.tuning.search import Exhausted
from tests.tuning.made_up import as_in_a_journal, carry_out, job_of, outcome, rows_of

if TYPE_CHECKING:
    from ntm_ray.tuning import TuningJob
    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.space import Configuration


MADE_OF_ANOTHER: Configuration = {
    "optimizer": "sgd",
    "learning_rate": 0.07,
    "mini_batch_size": 64,
}


class BetterOfTwo(Scheduler):
    """Pauses every trial at epoch 2; of each two that wait there, the better one goes on."""

    rungs = (2,)
    pauses = True

    def __init__(self) -> None:
        self._waiting: list[tuple[float, str]] = []

    def decide(self, trial: str, rung: int, loss: float) -> Decision:  # noqa: ARG002
        self._waiting.append((loss, trial))
        return Decision.PAUSE

    def next_leg(self, *, exhausted: bool) -> Leg | None:  # noqa: ARG002
        if len(self._waiting) < 2:
            return None
        best = min(self._waiting[:2])
        del self._waiting[:2]
        return Leg(best[1])


class TakesOver(BetterOfTwo):
    """Of each two that wait, the worse one goes on as the better one, with a rate of its own."""

    def next_leg(self, *, exhausted: bool) -> Leg | None:  # noqa: ARG002
        if len(self._waiting) < 2:
            return None
        (_, good), (_, bad) = sorted(self._waiting[:2])
        del self._waiting[:2]
        return Leg(bad, source=good, configuration=MADE_OF_ANOTHER)


def engine_of(
    scheduler: Scheduler, journal: list[Event] | None = None, job: TuningJob | None = None
) -> Engine:
    journal = [] if journal is None else journal
    engine = Engine(job or job_of(trials=6, epochs=4), journal.append)
    engine.scheduler = scheduler
    return engine


def begin(engine: Engine, *names: str) -> None:
    for name in names:
        trial = engine.next_trial()
        assert trial is not None
        assert trial.name == name


def test_a_paused_trial_gives_up_its_slot_and_goes_on_before_a_new_one_begins() -> None:
    engine = engine_of(BetterOfTwo())
    begin(engine, "defaults", "0000", "0001")
    assert engine.report("0000", rows_of(7.0, 6.9), saved_epoch=2) is Decision.PAUSE
    assert engine.trials["0000"].status is Status.PAUSED
    begin(engine, "0002")
    assert engine.report("0001", rows_of(7.0, 6.8), saved_epoch=2) is Decision.PAUSE
    begin(engine, "0001", "0003")
    trial = engine.trials["0001"]
    assert (trial.status, trial.legs, trial.goes_on_from) == (Status.RUNNING, 1, ("0001", 2))
    engine.report("0001", rows_of(6.7, 6.6, first=3), stop_reason="epochs", saved_epoch=4)
    assert [row[OBJECTIVE] for row in trial.curve] == [7.0, 6.8, 6.7, 6.6]


def test_paused_trials_that_never_go_on_end_as_stopped_early_when_nothing_else_is_left() -> None:
    engine = engine_of(BetterOfTwo(), job=job_of(trials=3, epochs=4))
    begin(engine, "defaults", "0000", "0001", "0002")
    engine.report("defaults", rows_of(7.0), stop_reason="epochs", saved_epoch=1)
    for name, loss in (("0000", 6.9), ("0001", 6.8), ("0002", 6.7)):
        engine.report(name, rows_of(7.0, loss), saved_epoch=2)
    begin(engine, "0001")
    # One still runs, and might let another go on.
    assert engine.next_trial() is None
    assert engine.has_more
    engine.report("0001", rows_of(6.7, 6.6, first=3), stop_reason="epochs", saved_epoch=4)
    assert not engine.is_finished
    assert engine.next_trial() is None
    assert engine.is_finished
    assert not engine.has_more
    assert engine.counts == {Status.FINISHED: 1, Status.STOPPED_EARLY: 2} | dict.fromkeys(
        (Status.RUNNING, Status.PAUSED), 0
    )
    assert (engine.epochs_spent, engine.epochs_saved, engine.ended) == (8, 4, 3)


def test_a_trial_that_takes_another_over_goes_on_from_its_state_with_its_own_settings() -> None:
    engine = engine_of(TakesOver())
    begin(engine, "defaults", "0000", "0001")
    engine.report("0000", rows_of(7.0, 6.9), saved_epoch=2)
    engine.report("0001", rows_of(6.8, 6.7), saved_epoch=2)
    begin(engine, "0000")
    trial = engine.trials["0000"]
    assert trial.goes_on_from == ("0001", 2)
    assert trial.configuration == MADE_OF_ANOTHER
    assert trial.curve == engine.trials["0001"].curve
    engine.report("0000", rows_of(6.6, first=3))
    assert [row[OBJECTIVE] for row in trial.curve] == [6.8, 6.7, 6.6]
    assert [row[OBJECTIVE] for row in engine.trials["0001"].curve] == [6.8, 6.7]
    # What was trained is counted once, whoever's curve it is in.
    assert engine.epochs_spent == 5


def test_a_trial_that_ends_at_a_rung_ends_and_is_passed_over_when_it_is_named() -> None:
    engine = engine_of(BetterOfTwo())
    begin(engine, "defaults", "0000", "0001")
    ended = engine.report("0000", rows_of(7.0, 6.0), stop_reason="early_stopping", saved_epoch=2)
    assert ended is Decision.STOP
    engine.report("0001", rows_of(7.0, 6.9), saved_epoch=2)
    begin(engine, "0002")
    assert engine.trials["0000"].status is Status.FINISHED


def test_epochs_trained_beyond_a_pause_are_trained_again() -> None:
    engine = engine_of(BetterOfTwo())
    begin(engine, "defaults", "0000", "0001")
    assert engine.report("0000", rows_of(7.0, 6.5, 6.4)) is Decision.PAUSE
    assert (engine.trials["0000"].epochs, engine.epochs_spent) == (2, 2)
    engine.report("0001", rows_of(7.0, 6.9))
    begin(engine, "0000")
    engine.report("0000", rows_of(6.4, first=3))
    assert [row[OBJECTIVE] for row in engine.trials["0000"].curve] == [7.0, 6.5, 6.4]


@pytest.mark.parametrize("scheduler", [BetterOfTwo, TakesOver])
@pytest.mark.parametrize("slots", [1, 2])
def test_a_job_with_pauses_cut_after_any_event_goes_on_as_it_would_have(
    scheduler: type[BetterOfTwo], slots: int
) -> None:
    job = job_of(trials=10, search="tpe")
    journal: list[Event] = []
    whole = engine_of(scheduler(), journal, job)
    carry_out(whole, slots=slots)
    legs = [event for event in journal if event["event"] == "leg"]
    assert len(legs) >= 3
    for length in range(len(journal) + 1):
        engine = engine_of(scheduler(), job=job)
        engine.resume(as_in_a_journal(journal[:length]))
        carry_out(engine, slots=slots)
        assert engine.is_finished
        assert len(engine.searched) == 10
        if slots == 1:
            assert outcome(engine) == outcome(whole), length
            assert engine.counts == whole.counts
            assert engine.epochs_spent == whole.epochs_spent
            assert engine.epochs_saved == whole.epochs_saved


def test_a_leg_cut_half_way_is_started_again_from_where_it_began() -> None:
    journal: list[Event] = []
    engine = engine_of(BetterOfTwo(), journal)
    begin(engine, "defaults", "0000", "0001")
    for name, loss in (("defaults", 7.0), ("0000", 6.9), ("0001", 6.8)):
        engine.report(name, rows_of(7.0, loss), saved_epoch=2)
    begin(engine, "0001")
    engine.report("0001", rows_of(6.7, first=3))
    resumed = engine_of(BetterOfTwo())
    resumed.resume(as_in_a_journal(journal))
    begin(resumed, "defaults", "0001", "0002")
    assert resumed.trials["0001"].goes_on_from == ("0001", 2)
    assert resumed.trials["0000"].status is Status.PAUSED


def test_a_journal_whose_legs_the_scheduler_would_not_have_named_is_refused() -> None:
    journal: list[Event] = []
    carry_out(engine_of(BetterOfTwo(), journal))
    leg = next(event for event in journal if event["event"] == "leg")
    leg["trial"] = "0005"
    with pytest.raises(JobError, match="'leg' of trial '0005', does not belong to this job"):
        engine_of(BetterOfTwo()).resume(as_in_a_journal(journal))


class OfThree:
    """A search algorithm with three configurations to propose."""

    def __init__(self) -> None:
        self._left = [0.001, 0.01, 0.1]

    def propose(self, trial: str) -> Configuration:  # noqa: ARG002
        if not self._left:
            raise Exhausted
        return {"optimizer": "sgd", "learning_rate": self._left.pop(0)}

    def adopt(self, trial: str, configuration: Configuration) -> None:  # noqa: ARG002
        self._left.remove(float(configuration["learning_rate"]))

    def tell(self, trial: str, observation: Any) -> None:
        """Learn nothing."""


def test_a_search_algorithm_that_has_nothing_left_ends_the_job() -> None:
    journal: list[Event] = []
    engine = Engine(job_of(trials=12), journal.append)
    engine.algorithm = OfThree()
    carry_out(engine)
    assert engine.is_finished
    assert len(engine.searched) == 3

    resumed = Engine(job_of(trials=12), journal.append)
    resumed.algorithm = OfThree()
    resumed.resume(as_in_a_journal(journal))
    assert resumed.is_finished


def test_a_trial_that_takes_over_keeps_what_its_saved_model_was_trained_with() -> None:
    engine = engine_of(TakesOver())
    begin(engine, "defaults", "0000", "0001")
    drawn = engine.trials["0001"].configuration
    # The best model is of the trial that is the worse at the rung, and is made of the other.
    engine.report("0001", rows_of(5.0, 7.0), saved_epoch=1)
    engine.report("0000", rows_of(6.5, 6.0), saved_epoch=2)
    begin(engine, "0001")
    best = engine.trials["0001"]
    assert best.configuration == MADE_OF_ANOTHER
    assert engine.best is best
    assert best.saved_configuration == drawn
    assert best.saved_score == best.best_loss == 5.0
