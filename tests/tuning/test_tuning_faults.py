"""What goes wrong around trials, as the engine and the journal have it; no Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.faults import FaultKind, faults_in_words
from ntm_ray.tuning.schedulers import Decision
from tests.tuning.made_up import as_in_a_journal, carry_out, job_of, outcome, rows_of

if TYPE_CHECKING:
    from ntm_ray.tuning.journal import Event


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def engine(events: list[Event]) -> Engine:
    events.append({"event": "session", "time": 1.0})
    return Engine(job_of(scheduler="none", trials=3), events.append)


def begin(engine: Engine) -> str:
    trial = engine.next_trial()
    assert trial is not None
    return trial.name


def test_a_trial_cut_short_is_the_next_to_be_carried_out_from_its_checkpoint(
    engine: Engine,
) -> None:
    begin(engine)
    name = begin(engine)
    engine.report(name, rows_of(7.0, 6.9, 6.8), state_epoch=3)
    engine.report(name, rows_of(6.7, 6.6, first=4))
    engine.restart(name, FaultKind.NODE_LOST, node="10.0.0.2", said="node died")
    assert begin(engine) == name
    assert engine.trials[name].begins_at == (name, 3)
    # What it trains again changes nothing but the count of what was repeated.
    assert engine.report(name, rows_of(6.7, 6.6, 6.5, first=4)) is Decision.CONTINUE
    assert engine.trials[name].epochs == 6
    assert engine.epochs_spent == 6
    assert engine.faults.epochs_repeated == 2
    assert (
        faults_in_words(engine.faults.to_json_dict())
        == "1 slot lost with its node; 2 epochs trained again"
    )


def test_a_trial_that_ends_while_it_waits_to_be_carried_out_again_is_not(engine: Engine) -> None:
    begin(engine)
    name = begin(engine)
    engine.restart(name, FaultKind.PROCESS_DIED)
    engine.fail(name, "it cannot be helped")
    assert begin(engine) != name


def test_a_resumed_job_knows_checkpoints_faults_and_that_its_driver_was_killed(
    engine: Engine, events: list[Event]
) -> None:
    begin(engine)
    name = begin(engine)
    engine.report(name, rows_of(7.0, 6.9), state_epoch=2)
    engine.restart(name, FaultKind.OUT_OF_MEMORY, node="10.0.0.2", said="no memory left")
    begin(engine)
    engine.report(name, rows_of(6.9, first=2))
    again = Engine(engine.job, list[Any]().append)
    again.resume(as_in_a_journal(events))
    assert outcome(again) == outcome(engine)
    assert again.trials[name].begins_at == (name, 2)
    assert again.faults.to_json_dict() == {
        "process_died": 0,
        "node_lost": 0,
        "out_of_memory": 1,
        "driver_restarted": 1,
        "epochs_repeated": 1,
    }
    assert again.faults.faults[0].said == "no memory left"


def test_a_driver_that_said_its_end_was_not_killed(engine: Engine, events: list[Event]) -> None:
    begin(engine)
    events.append({"event": "end", "time": 2.0})
    again = Engine(engine.job, list[Any]().append)
    again.resume(as_in_a_journal(events))
    assert faults_in_words(again.faults.to_json_dict()) is None


def test_a_job_without_faults_says_nothing_of_any(engine: Engine) -> None:
    carry_out(engine)
    assert faults_in_words(engine.faults.to_json_dict()) is None
    assert set(engine.faults.to_json_dict().values()) == {0}
