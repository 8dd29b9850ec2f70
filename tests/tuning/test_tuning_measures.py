"""Every trial records what its topics are worth: from the slot into the journal and the table."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from ntm_ray import NTM
from ntm_ray.corpus import bars
from ntm_ray.model.judge import Judge
from ntm_ray.model.measures import MEASURES
from ntm_ray.tuning import Status, TuningJob
from ntm_ray.tuning.assignment import Report, TrialSetting
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.progress import Nobody
from ntm_ray.tuning.session import Session
from ntm_ray.tuning.tables import trials_table
from ntm_ray.tuning.trial import RunningTrial
from tests.tuning.made_up import as_in_a_journal, job_of, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from ntm_ray.tuning.journal import Event

CORPUS = bars(documents=80)
SOME = {"npmi": 0.25, "topic_uniqueness": 0.8, "live_topics": 3}


def to_its_end(session: Session, setting: TrialSetting) -> list[Report]:
    """Train the next trial as a slot does, and report it."""
    assignment = session.next_assignment()
    assert assignment is not None
    running = RunningTrial(assignment, CORPUS, setting, "cpu", Judge(CORPUS))
    reports: list[Report] = []
    while not reports or reports[-1].stop_reason is None:
        reports.append(running.train())
        session.report(reports[-1])
    return reports


def test_a_trial_reports_the_measures_of_its_best_epoch_at_each_rung_and_at_its_end(
    tmp_path: Path,
) -> None:
    job = TuningJob(
        corpus=CORPUS,
        hyperparameters={"num_topics": 3, "epochs": 7},
        scheduler="asha",
        trials=2,
        storage=tmp_path,
        name="job",
    )
    folder = JobFolder.create(job, CORPUS)
    events: list[Event] = []
    session = Session(
        Engine(job, events.append), folder, CORPUS.feature_dim, Nobody(), lambda: None
    )
    setting = TrialSetting(
        frozenset({1, 3}), 1, "cpu", "float32", 30, folder.models, folder.states
    )
    yardstick, first = (to_its_end(session, setting) for _ in range(2))
    for reports in (yardstick, first):
        at = [report.rows[-1]["epoch"] for report in reports if report.measures is not None]
        assert at[:2] == [1, 3], "at the rungs, where its best model has changed"
        assert all(set(r.measures or MEASURES) == set(MEASURES) for r in reports)
    trial = session.engine.trials["0000"]
    assert trial.measured == trial.saved
    model = NTM.load(folder.best)
    assert trial.measures == {name: model.metrics[name] for name in MEASURES}
    resumed = Engine(job, list[object]().append)
    resumed.resume(as_in_a_journal(events))
    for name, one in session.engine.trials.items():
        assert one.measures is not None
        assert resumed.trials[name].measures == one.measures
        assert resumed.trials[name].measured == one.measured
    (row,) = trials_table([trial], job.hyperparameters, CORPUS.feature_dim).to_pylist()
    assert {name: row[name] for name in MEASURES} == trial.measures


def test_a_trial_that_begins_again_does_not_lose_the_measures_of_its_best_epoch() -> None:
    events: list[Event] = []
    engine = Engine(job_of(), events.append)
    engine.next_trial()
    assert engine.next_trial() is not None
    engine.report("0000", rows_of(7.0), measures=SOME, measured_epoch=1)
    better = SOME | {"npmi": 0.3}
    engine.report("0000", rows_of(6.8, 6.9, first=2), measures=better, measured_epoch=2)
    engine.report("0000", rows_of(7.0), measures=SOME, measured_epoch=1)  # after a fault
    trial = engine.trials["0000"]
    assert trial.measures == better
    assert trial.measured == trial.curve[1]
    engine.report("0000", rows_of(6.7, first=4), stop_reason="epochs")
    assert trial.status is Status.FINISHED
    assert trial.measures == better, "what was not measured anew stays"


def test_an_older_journal_is_resumed_without_measures_and_keeps_no_model() -> None:
    events: list[Event] = []
    engine = Engine(job_of(), events.append)
    for _ in range(2):
        engine.next_trial()
    engine.report("0000", rows_of(7.0, 6.8), saved_epoch=2)
    assert not any("measures" in event for event in events)
    resumed = Engine(job_of(), list[object]().append)
    resumed.resume(as_in_a_journal(events))
    (row,) = trials_table(resumed.searched, {"num_topics": 3, "epochs": 27}, 25).to_pylist()
    assert [row[name] for name in MEASURES] == [None] * len(MEASURES)
    (trial,) = resumed.searched
    assert trial.saved_score == 6.8
    assert not trial.is_kept, "they were removed without a word in the journal"


def test_a_measure_that_is_not_finite_is_left_out_of_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = TuningJob(
        corpus=CORPUS, hyperparameters={"num_topics": 3, "epochs": 1}, storage=tmp_path, name="job"
    )
    folder = JobFolder.create(job, CORPUS)
    lines: list[str] = []
    engine = Engine(job, lambda event: lines.append(json.dumps(event, allow_nan=False)))
    session = Session(engine, folder, CORPUS.feature_dim, Nobody(), lambda: None)
    monkeypatch.setattr("ntm_ray.model.judge.kl_per_document", lambda *_: math.inf)
    setting = TrialSetting(frozenset(), 1, "cpu", "float32", 30, folder.models, folder.states)
    (report,) = to_its_end(session, setting)
    assert report.measures is not None
    assert set(report.measures) == set(MEASURES) - {"kl_per_document"}
