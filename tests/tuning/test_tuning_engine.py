"""The search engine, driven by a loop of a few lines on made-up curves; no Ray anywhere."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray.errors import JobError
from ntm_ray.tuning import Status
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.schedulers import Decision
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL
from tests.tuning.made_up import (
    SPACE,
    as_in_a_journal,
    carry_out,
    job_of,
    outcome,
    row_of,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ntm_ray.tuning import TuningJob
    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.search import Observation


class Listening:
    """A search algorithm that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Observation]] = []
        self._number = itertools.count()

    def propose(self, trial: str) -> dict[str, Any]:  # noqa: ARG002
        return {"learning_rate": 0.001 * (1 + next(self._number))}

    def adopt(self, trial: str, configuration: dict[str, Any]) -> None:
        raise AssertionError((trial, configuration))

    def tell(self, trial: str, observation: Observation) -> None:
        self.told.append((trial, observation))


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def engine(events: list[Event]) -> Engine:
    """An engine whose defaults trial is over, with a search algorithm that listens."""
    engine = Engine(job_of(), events.append)
    engine.algorithm = Listening()
    assert begin(engine) == DEFAULTS_TRIAL
    engine.report(DEFAULTS_TRIAL, rows_of(7.0), stop_reason="early_stopping", saved_epoch=1)
    return engine


def begin(engine: Engine) -> str:
    trial = engine.next_trial()
    assert trial is not None
    return trial.name


def told(engine: Engine) -> list[tuple[str, int, float, bool]]:
    assert isinstance(engine.algorithm, Listening)
    return [(name, o.epoch, o.loss, o.finished) for name, o in engine.algorithm.told]


# Proposing


def test_the_defaults_trial_comes_first_and_has_no_configuration() -> None:
    engine = Engine(job_of(seed=5), list[Any]().append)
    trial = engine.next_trial()
    assert trial is not None
    assert (trial.name, trial.configuration, trial.seed) == (DEFAULTS_TRIAL, {}, 5)


def test_as_many_trials_are_proposed_as_the_job_has_and_the_defaults() -> None:
    engine = Engine(job_of(trials=3), list[Any]().append)
    names = [trial.name for trial in iter(engine.next_trial, None)]
    assert names == [DEFAULTS_TRIAL, "0000", "0001", "0002"]
    assert [trial.name for trial in engine.searched] == names[1:]
    assert not engine.is_finished


def test_each_trial_has_a_seed_of_its_own_that_depends_on_the_jobs() -> None:
    def seeds(seed: int) -> list[int]:
        engine = Engine(job_of(seed=seed), list[Any]().append)
        return [trial.seed for trial in iter(engine.next_trial, None)]

    assert len(set(seeds(3))) == 13
    assert seeds(3) == seeds(3)
    assert not set(seeds(3)) & set(seeds(4))


def test_a_step_is_written_before_it_has_an_effect() -> None:
    def refuse(event: Event) -> None:
        raise OSError(event["event"])

    engine = Engine(job_of(), refuse)
    with pytest.raises(OSError, match="trial"):
        engine.next_trial()
    assert engine.trials == {}

    written: list[Event] = []
    engine = Engine(job_of(), written.append)
    begin(engine)
    engine._write = refuse  # the disk fills up
    with pytest.raises(OSError, match="report"):
        engine.report(DEFAULTS_TRIAL, rows_of(7.0))
    assert engine.trials[DEFAULTS_TRIAL].curve == []


# Reports


def test_rows_that_arrive_in_batches_make_one_curve(engine: Engine) -> None:
    name = begin(engine)
    engine.report(name, rows_of(7.0), saved_epoch=1)
    engine.report(name, rows_of(6.8, 6.9, first=2), saved_epoch=2)
    engine.report(name, rows_of(6.5, 6.6, first=4), saved_epoch=2)
    trial = engine.trials[name]
    assert trial.curve == rows_of(7.0, 6.8, 6.9, 6.5, 6.6)
    assert (trial.epochs, trial.best_loss, trial.saved_score, trial.seconds) == (5, 6.5, 6.8, 2.5)


def test_every_rung_is_decided_once_and_told_wherever_it_lies_in_a_batch(engine: Engine) -> None:
    name = begin(engine)
    engine.report(name, rows_of(7.0, 6.9))
    engine.report(name, rows_of(6.8, 6.7, 6.6, 6.5, first=3))
    assert told(engine) == [(name, 1, 7.0, False), (name, 3, 6.8, False)]


def test_a_report_after_the_end_is_ignored(engine: Engine, events: list[Event]) -> None:
    name = begin(engine)
    engine.report(name, rows_of(7.0), stop_reason="early_stopping", saved_epoch=1)
    before, number = outcome(engine), len(events)
    late = rows_of(5.0, first=2)
    assert engine.report(name, late, stop_reason="epochs", saved_epoch=2) is Decision.STOP
    engine.fail(name, "too late")
    assert outcome(engine) == before
    assert len(events) == number
    assert len(told(engine)) == 2


def test_epochs_reported_again_after_a_restart_change_nothing(engine: Engine) -> None:
    name = begin(engine)
    engine.report(name, rows_of(7.0), saved_epoch=1)
    engine.report(name, rows_of(6.9, 6.8, first=2), saved_epoch=3)
    before, heard = outcome(engine), told(engine)
    assert engine.report(name, rows_of(7.0), saved_epoch=1) is Decision.CONTINUE
    assert engine.report(name, rows_of(6.9, 6.8, first=2), saved_epoch=3) is Decision.CONTINUE
    assert outcome(engine) == before
    assert told(engine) == heard
    # Half of this batch is known.
    engine.report(name, rows_of(6.8, 6.7, first=3), saved_epoch=3)
    assert engine.trials[name].curve == rows_of(7.0, 6.9, 6.8, 6.7)


def test_a_restarted_best_trial_stays_the_best_with_the_model_it_had(engine: Engine) -> None:
    name, other = begin(engine), begin(engine)
    engine.report(name, rows_of(7.0), saved_epoch=1)
    engine.report(name, rows_of(6.9, 6.0, first=2), saved_epoch=3)
    engine.report(name, rows_of(7.0), saved_epoch=1)
    assert engine.best is engine.trials[name]
    assert engine.best.saved_score == 6.0
    engine.report(other, rows_of(6.5), saved_epoch=1)
    assert engine.best is engine.trials[name]


# Ends


def test_a_trial_that_ends_by_itself_is_finished_and_told_with_its_best_loss(
    engine: Engine,
) -> None:
    name = begin(engine)
    engine.report(name, rows_of(7.0), saved_epoch=1)
    engine.report(name, rows_of(6.5, 6.6, first=2), stop_reason="early_stopping", saved_epoch=2)
    assert engine.trials[name].status is Status.FINISHED
    assert told(engine)[-1] == (name, 3, 6.5, True)


def test_a_trial_that_the_scheduler_stops_is_stopped_early_and_told_once_at_its_end(
    engine: Engine,
) -> None:
    good, bad = begin(engine), begin(engine)
    assert engine.report(good, rows_of(6.0), saved_epoch=1) is Decision.CONTINUE
    assert engine.report(bad, rows_of(7.0), saved_epoch=1) is Decision.STOP
    assert engine.trials[bad].status is Status.STOPPED_EARLY
    assert told(engine)[1:] == [(bad, 1, 7.0, False), (bad, 1, 7.0, True)]


def test_a_trial_that_ends_by_itself_competes_at_the_rungs_it_did_not_reach(
    engine: Engine,
) -> None:
    patient, next_one = begin(engine), begin(engine)
    engine.report(patient, rows_of(6.0), saved_epoch=1)
    engine.report(patient, rows_of(6.1, first=2), stop_reason="early_stopping", saved_epoch=1)
    assert engine.report(next_one, rows_of(5.9)) is Decision.CONTINUE
    # Alone at rung 3 it would go on; the one that ended at epoch 2 had reached 6.0.
    assert engine.report(next_one, rows_of(5.9, 6.05, first=2)) is Decision.STOP


def test_a_trial_that_was_stopped_early_does_not_compete_at_higher_rungs(engine: Engine) -> None:
    first, stopped, third = (begin(engine) for _ in range(3))
    engine.report(first, rows_of(6.5))
    engine.report(stopped, rows_of(6.6))
    assert engine.trials[stopped].status is Status.STOPPED_EARLY
    engine.report(third, rows_of(6.4))
    assert engine.report(third, rows_of(6.9, 7.0, first=2)) is Decision.CONTINUE


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_diverged_trial_is_the_worst_for_the_search_and_never_a_failure(
    engine: Engine, at: int
) -> None:
    name = begin(engine)
    losses = [5.0] * (at - 1) + [None]
    saved = 1 if at > 1 else None
    decision = engine.report(name, rows_of(*losses), stop_reason="diverged", saved_epoch=saved)
    assert decision is Decision.STOP
    trial = engine.trials[name]
    assert (trial.status, trial.error) == (Status.DIVERGED, None)
    assert told(engine)[-1] == (name, at, math.inf, True)


def test_a_loss_of_training_that_diverged_at_a_rung_counts_as_the_worst_there(
    engine: Engine,
) -> None:
    name = begin(engine)
    engine.report(name, rows_of(6.0), stop_reason="diverged")
    assert engine.trials[name].status is Status.DIVERGED
    assert [loss for _, _, loss, _ in told(engine)] == [math.inf, math.inf]
    # Its 6.0 is nobody's threshold.
    assert engine.report(begin(engine), rows_of(7.0)) is Decision.CONTINUE


def test_diverged_trials_are_entered_at_every_rung_and_push_nobody_out(engine: Engine) -> None:
    for _ in range(3):
        engine.report(begin(engine), rows_of(None), stop_reason="diverged")
    first, second = begin(engine), begin(engine)
    for name, loss in ((first, 6.0), (second, 6.1)):
        assert engine.report(name, rows_of(loss)) is Decision.CONTINUE
        # Of five that reached rung 3 two go on, since those that diverged are among the five.
        assert engine.report(name, rows_of(loss, loss, first=2)) is Decision.CONTINUE


def test_without_a_scheduler_a_diverged_trial_is_diverged_too() -> None:
    engine = Engine(job_of(scheduler="none"), list[Any]().append)
    begin(engine)
    name = begin(engine)
    engine.report(name, rows_of(7.0, None), stop_reason="diverged", saved_epoch=1)
    assert engine.trials[name].status is Status.DIVERGED


def test_a_failed_trial_keeps_its_reason_and_the_job_goes_on(engine: Engine) -> None:
    name = begin(engine)
    engine.report(name, rows_of(6.0), saved_epoch=1)
    engine.fail(name, "the process died")
    assert (engine.trials[name].status, engine.trials[name].error) == (
        Status.FAILED,
        "the process died",
    )
    assert begin(engine) == "0001"


def test_the_job_is_finished_when_the_last_trial_has_ended() -> None:
    engine = Engine(job_of(trials=2), list[Any]().append)
    names = [begin(engine) for _ in range(3)]
    for name in names:
        assert not engine.is_finished
        engine.report(name, rows_of(6.0), stop_reason="epochs", saved_epoch=1)
    assert engine.is_finished
    assert engine.next_trial() is None


# The defaults trial


def test_the_defaults_trial_is_outside_search_scheduler_best_and_counts() -> None:
    engine = Engine(job_of(), list[Any]().append)
    engine.algorithm = Listening()
    name = begin(engine)
    engine.report(name, rows_of(1.0), saved_epoch=1)
    engine.report(name, rows_of(1.0, 1.0, first=2), stop_reason="epochs", saved_epoch=1)
    assert engine.trials[DEFAULTS_TRIAL].status is Status.FINISHED
    assert told(engine) == []
    assert engine.best is None
    assert list(engine.searched) == []
    # Far worse than the defaults, and yet the first at each rung.
    other = begin(engine)
    assert engine.report(other, rows_of(9.0)) is Decision.CONTINUE
    assert engine.report(other, rows_of(9.0, 9.0, first=2)) is Decision.CONTINUE


def test_a_defaults_trial_worse_than_all_others_is_not_stopped_early() -> None:
    engine = Engine(job_of(), list[Any]().append)
    begin(engine)
    engine.report(begin(engine), rows_of(6.0))
    assert engine.report(DEFAULTS_TRIAL, rows_of(9.0)) is Decision.CONTINUE


def test_a_failed_defaults_trial_is_not_told_to_the_search() -> None:
    engine = Engine(job_of(), list[Any]().append)
    engine.algorithm = Listening()
    engine.fail(begin(engine), "the process died")
    assert told(engine) == []


# The best


def test_the_best_is_the_trial_with_the_least_loss_of_a_saved_model(engine: Engine) -> None:
    one, other = begin(engine), begin(engine)
    assert engine.best is None
    engine.report(one, rows_of(6.5), saved_epoch=1)
    assert engine.best is engine.trials[one]
    # 6.0 was reached, but only the model of 6.4 is saved.
    engine.report(other, rows_of(6.4), saved_epoch=1)
    engine.report(other, rows_of(6.0, first=2), saved_epoch=1)
    engine.report(one, rows_of(6.3, 6.6, first=2), saved_epoch=2)
    assert engine.best is engine.trials[one]
    assert engine.trials[one].saved == row_of(2, 6.3)


def test_of_two_equally_good_trials_the_earlier_stays_the_best(engine: Engine) -> None:
    one, other = begin(engine), begin(engine)
    engine.report(one, rows_of(6.5), saved_epoch=1)
    engine.report(other, rows_of(6.5), saved_epoch=1)
    assert engine.best is engine.trials[one]


# Resuming


def uncut(job: TuningJob, **how: Any) -> tuple[Engine, list[Event]]:
    written: list[Event] = []
    engine = Engine(job, written.append)
    carry_out(engine, **how)
    return engine, as_in_a_journal(written)


def cuts(written: list[Event]) -> Iterator[list[Event]]:
    for length in range(len(written) + 1):
        yield as_in_a_journal(written[:length])


@pytest.mark.parametrize("search", ["random", "tpe"])
@pytest.mark.parametrize("scheduler", ["asha", "none"])
def test_a_job_cut_after_any_event_ends_as_if_it_had_not_been_cut(
    search: str, scheduler: str
) -> None:
    job = job_of(search=search, scheduler=scheduler, trials=16)
    whole, written = uncut(job)
    # What the loop above makes must be of all kinds, or this test tests little.
    statuses = {trial.status for trial in whole.searched}
    assert {Status.FINISHED, Status.DIVERGED} < statuses | {Status.STOPPED_EARLY}
    assert (Status.STOPPED_EARLY in statuses) == (scheduler == "asha")
    later = whole.algorithm.propose("one more")
    assert whole.best is not None

    for events in cuts(written):
        again: list[Event] = []
        engine = Engine(job, again.append)
        engine.resume(events)
        carry_out(engine)
        assert outcome(engine) == outcome(whole), len(events)
        assert list(engine.trials) == list(whole.trials)
        assert engine.best is not None
        assert engine.best.name == whole.best.name
        assert engine.is_finished
        assert engine.algorithm.propose("one more") == later, len(events)


def test_a_job_cut_twice_ends_as_if_it_had_not_been_cut() -> None:
    job = job_of(search="tpe", trials=14)
    whole, written = uncut(job)
    for first, second in ((3, 1), (9, 4), (20, 7), (len(written) - 2, 1)):
        journal = as_in_a_journal(written[:first])
        engine = Engine(job, journal.append)
        engine.resume(as_in_a_journal(journal))
        carry_out(engine)
        journal = as_in_a_journal(journal[: first + second])
        engine = Engine(job, journal.append)
        engine.resume(as_in_a_journal(journal))
        carry_out(engine)
        assert outcome(engine) == outcome(whole), (first, second)


def test_however_often_trials_report_the_job_ends_the_same_if_it_is_cut() -> None:
    job = job_of(trials=10)
    whole, written = uncut(job, every=100)
    for events in cuts(written):
        engine = Engine(job, list[Any]().append)
        engine.resume(events)
        carry_out(engine, every=1)
        assert outcome(engine) == outcome(whole)


def test_two_slots_without_a_scheduler_end_the_same_wherever_they_are_cut() -> None:
    job = job_of(scheduler="none", trials=8)
    whole, written = uncut(job, slots=2)
    for events in cuts(written):
        engine = Engine(job, list[Any]().append)
        engine.resume(events)
        carry_out(engine, slots=2)
        assert outcome(engine) == outcome(whole)


def test_two_slots_with_asha_repeat_nothing_and_lose_nothing_wherever_they_are_cut() -> None:
    job = job_of(trials=12)
    _, written = uncut(job, slots=2)
    for events in cuts(written):
        ended: dict[str, Any] = {}
        engine = Engine(job, list[Any]().append)
        engine.resume(events)
        for name, trial in engine.trials.items():
            if trial.status is not Status.RUNNING:
                ended[name] = outcome(engine)[name]
        carry_out(engine, slots=2)
        assert engine.is_finished
        assert len(engine.searched) == 12
        assert {name: outcome(engine)[name] for name in ended} == ended
        for trial in engine.trials.values():
            assert [row["epoch"] for row in trial.curve] == list(range(1, trial.epochs + 1))


def test_trials_cut_half_way_are_restarted_in_their_order_before_new_ones() -> None:
    written: list[Event] = []
    engine = Engine(job_of(trials=4), written.append)
    names = [begin(engine) for _ in range(4)]
    engine.report(names[1], rows_of(6.0), stop_reason="epochs", saved_epoch=1)
    engine.report(names[2], rows_of(5.0), saved_epoch=1)
    resumed = Engine(job_of(trials=4), written.append)
    resumed.resume(as_in_a_journal(written))
    assert [t.name for t in iter(resumed.next_trial, None)] == [
        names[0],
        names[2],
        names[3],
        "0003",
    ]


def test_what_is_resumed_is_not_written_again() -> None:
    _, written = uncut(job_of(trials=4))

    def refuse(event: Event) -> None:
        raise AssertionError(event)

    Engine(job_of(trials=4), refuse).resume(written)


def test_when_trials_began_and_why_they_failed_is_remembered() -> None:
    written: list[Event] = []
    engine = Engine(job_of(), written.append)
    begin(engine)
    name = begin(engine)
    engine.fail(name, "the process died")
    resumed = Engine(job_of(), written.append)
    resumed.resume(as_in_a_journal(written))
    assert resumed.trials == engine.trials


def test_events_that_are_no_steps_of_trials_are_passed_over() -> None:
    engine = Engine(job_of(), list[Any]().append)
    engine.resume([{"event": "session", "time": 1.0}, {"event": "end", "time": 2.0}])
    assert engine.trials == {}


def no_such_trial(events: list[Event]) -> None:
    events[1]["trial"] = "0099"


def no_configuration(events: list[Event]) -> None:
    del events[0]["configuration"]


def no_such_epoch(events: list[Event]) -> None:
    events[1]["saved_epoch"] = 9


def no_such_choice(events: list[Event]) -> None:
    events[2]["configuration"]["optimizer"] = "adadelta"


@pytest.mark.parametrize(
    ("spoil", "number"),
    [(no_such_trial, 2), (no_configuration, 1), (no_such_epoch, 2), (no_such_choice, 3)],
)
def test_an_event_that_cannot_belong_to_the_job_is_named_in_one_line(
    spoil: Callable[[list[Event]], None], number: int
) -> None:
    written: list[Event] = []
    job = job_of(search="tpe")
    engine = Engine(job, written.append)
    begin(engine)
    engine.report(DEFAULTS_TRIAL, rows_of(7.0), stop_reason="epochs", saved_epoch=1)
    begin(engine)
    events = as_in_a_journal(written)
    spoil(events)
    with pytest.raises(JobError) as caught:
        Engine(job, written.append).resume(events)
    assert f"event {number} " in str(caught.value)
    assert "\n" not in str(caught.value)


# First configurations


FIRST = (
    {"optimizer": "sgd", "learning_rate": 0.05, "mini_batch_size": 20},
    {"optimizer": "sgd", "learning_rate": 0.06, "mini_batch_size": 30},
)


@pytest.mark.parametrize("search", ["random", "tpe"])
def test_first_configurations_are_tried_first_and_known_to_the_search(search: str) -> None:
    space = SPACE.model_copy(update={"first": FIRST})
    job = job_of(search=search, space=space, trials=14)
    whole, written = uncut(job)
    assert tuple(trial.configuration for trial in whole.searched[:2]) == FIRST
    assert whole.searched[2].configuration not in FIRST
    assert len(whole.searched) == 14
    for events in cuts(written):
        engine = Engine(job, list[Any]().append)
        engine.resume(events)
        carry_out(engine)
        assert outcome(engine) == outcome(whole), len(events)


def test_first_configurations_are_at_most_half_of_the_trials() -> None:
    space = SPACE.model_copy(update={"first": FIRST})
    few = Engine(job_of(space=space, trials=3), list[Any]().append)
    found = [few.trials[begin(few)].configuration for _ in range(4)][1:]
    assert found[0] == FIRST[0]
    assert FIRST[1] not in found


def test_first_configurations_can_be_switched_off_and_follow_what_is_fixed() -> None:
    space = SPACE.model_copy(update={"first": FIRST})
    off = Engine(job_of(space=space, first_configurations=False), list[Any]().append)
    begin(off)
    assert off.trials[begin(off)].configuration not in FIRST
    fixed = Engine(job_of(space=space, mini_batch_size=40), list[Any]().append)
    begin(fixed)
    assert fixed.trials[begin(fixed)].configuration == {"optimizer": "sgd", "learning_rate": 0.05}


@pytest.mark.parametrize("scheduler", ["asha", "asha_promotion"])
def test_the_very_first_configuration_is_trained_to_its_end_whatever_its_rank(
    scheduler: str,
) -> None:
    space = SPACE.model_copy(update={"first": FIRST})
    engine = Engine(job_of(space=space, scheduler=scheduler), list[Any]().append)
    begin(engine)
    favourite, *others = (begin(engine) for _ in range(6))
    for name in others:
        engine.report(name, rows_of(5.0))
    assert engine.report(favourite, rows_of(9.0)) is Decision.CONTINUE
    assert engine.report(favourite, rows_of(9.0, 9.0, first=2)) is Decision.CONTINUE
    assert (
        engine.report(favourite, rows_of(None, first=4), stop_reason="diverged") is Decision.STOP
    )
    assert engine.trials[favourite].status is Status.DIVERGED
