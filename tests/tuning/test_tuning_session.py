"""What a sitting of a job keeps in its folder, and what a job refuses before it begins; no Ray."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray import Corpus, TuningJob
from ntm_ray.corpus import bars
from ntm_ray.errors import DeviceError, JobError
from ntm_ray.tuning.assignment import Report, TrialSetting
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.progress import Nobody
from ntm_ray.tuning.session import Session
from ntm_ray.tuning.trial import RunningTrial
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL, OBJECTIVE

if TYPE_CHECKING:
    from pathlib import Path

CORPUS = bars(documents=80)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return session_of(tmp_path)


@pytest.fixture
def thrifty(tmp_path: Path) -> Session:
    """Keeps no model but the best."""
    return session_of(tmp_path, keep_models_mb=0)


def session_of(tmp_path: Path, **fields: Any) -> Session:
    job = TuningJob(
        corpus=CORPUS,
        hyperparameters={"num_topics": 3, "epochs": 2},
        search="random",
        scheduler="none",
        trials=4,
        storage=tmp_path,
        name="job",
        **fields,
    )
    folder = JobFolder.create(job, CORPUS)
    return Session(Engine(job, print), folder, CORPUS.feature_dim, Nobody(), lambda: None)


def carry_out(session: Session, folder: JobFolder) -> Report:
    """Train the next trial as a slot does, and report it."""
    assignment = session.next_assignment()
    assert assignment is not None
    setting = TrialSetting(frozenset(), 1, "cpu", "float32", 30, folder.models, folder.states)
    report = RunningTrial(assignment, CORPUS, setting, "cpu").train()
    session.report(report)
    return report


def test_best_is_always_the_model_of_the_least_loss_so_far(
    session: Session, tmp_path: Path
) -> None:
    folder = JobFolder.open(tmp_path / "job")
    losses: list[float] = []
    while len(losses) < 4:
        report = carry_out(session, folder)
        if report.trial == DEFAULTS_TRIAL:
            assert not folder.best.exists(), "the yardstick is no part of the search"
            continue
        losses.append(min(row[OBJECTIVE] for row in report.rows))
        metrics = json.loads((folder.best / "metrics.json").read_text())
        assert metrics[OBJECTIVE] == min(losses)
    assert len(set(losses)) == 4


def test_with_no_room_for_models_only_the_best_one_stays(thrifty: Session, tmp_path: Path) -> None:
    folder = JobFolder.open(tmp_path / "job")
    for _ in range(5):
        carry_out(thrifty, folder)
    assert thrifty.engine.best is not None
    assert folder.models.names() == [thrifty.engine.best.name]


def test_the_model_of_a_trial_that_runs_stays_when_another_becomes_the_best(
    thrifty: Session, tmp_path: Path
) -> None:
    folder = JobFolder.open(tmp_path / "job")
    carry_out(thrifty, folder)  # the yardstick
    setting = TrialSetting(frozenset({1}), 1, "cpu", "float32", 30, folder.models, folder.states)
    assignment = thrifty.next_assignment()
    assert assignment is not None
    running = RunningTrial(assignment, CORPUS, setting, "cpu")
    first = running.train()
    thrifty.report(first)
    losses = [row[OBJECTIVE] for row in first.rows]
    # It saves a model that has not been reported when a better one of another trial is.
    last = running.train()
    row = first.rows[0] | {OBJECTIVE: min(losses) / 2}
    other = thrifty.next_assignment()
    assert other is not None
    model = folder.trial_model(assignment.trial, 1)
    folder.trial_model(other.trial, 1).put_folder(model.path)
    thrifty.report(Report(other.trial, [row], None, 1))
    assert thrifty.engine.best is thrifty.engine.trials[other.trial]
    kept = folder.models / assignment.trial
    assert kept.names()
    thrifty.report(last)
    assert not kept.names()


def test_the_yardstick_takes_no_hyperparameter_from_the_job_but_size_and_length() -> None:
    fixed = {"num_topics": 3, "epochs": 5, "optimizer": "adam", "sub_sample": 0.5}
    engine = Engine(TuningJob(corpus="synthetic", hyperparameters=fixed), print)
    yardstick, first = engine.next_trial(), engine.next_trial()
    assert yardstick is not None
    assert first is not None
    assert engine.hyperparameters(yardstick) == {
        "num_topics": 3,
        "epochs": 5,
        "num_patience_epochs": 6,
    }
    assert engine.hyperparameters(first).items() >= fixed.items()


def test_num_topics_can_be_searched() -> None:
    space = {
        "name": "how many",
        "parameters": [{"name": "num_topics", "type": "integer", "min": 5, "max": 9}],
    }
    engine = Engine(TuningJob(corpus="synthetic", search_space=space), print)
    yardstick, first = engine.next_trial(), engine.next_trial()
    assert yardstick is not None
    assert first is not None
    assert engine.hyperparameters(yardstick)["num_topics"] == 20
    assert 5 <= engine.hyperparameters(first)["num_topics"] <= 9


def test_a_corpus_that_has_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "corpus.tsv"
    file.write_text("apple pear\ttrain\napple\ttrain\npear\tval\n")
    job = TuningJob(corpus=file, storage=tmp_path, name="job")
    folder = JobFolder.create(job, Corpus.read(file))
    file.write_text("apple pear pear\ttrain\napple\ttrain\npear\tval\n")
    with pytest.raises(JobError, match=r"corpus\.tsv is no longer what it was"):
        TuningJob.resume(folder.path)


def test_validation_documents_without_a_known_word_are_said_to_be_the_trouble(
    tmp_path: Path,
) -> None:
    file = tmp_path / "corpus.tsv"
    file.write_text("apple pear\ttrain\napple\ttrain\nplum\tval\n")
    with pytest.raises(JobError, match="none of its 1 validation documents holds a word"):
        TuningJob(corpus=file, storage=tmp_path, name="job").run()
    assert not (tmp_path / "job").exists()


@pytest.mark.skipif(platform.system() == "Darwin", reason="a Mac may have MPS")
def test_a_device_that_is_not_there_is_refused_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="mps"):
        TuningJob(corpus="synthetic", device="mps", storage=tmp_path).run()
    assert not list(tmp_path.iterdir())


def test_a_continuous_range_for_a_whole_number_is_refused() -> None:
    size = {"name": "mini_batch_size", "type": "continuous", "min": 16, "max": 64}
    with pytest.raises(JobError, match=r"mini_batch_size.*an integer from 1 to 10000"):
        TuningJob(search_space={"name": "wrong", "parameters": [size]})


def test_the_more_trials_run_the_more_rarely_each_reports(tmp_path: Path) -> None:
    job = TuningJob(
        corpus=CORPUS, trials=250, storage=tmp_path, name="many", search="random", slots=250
    )
    folder = JobFolder.create(job, CORPUS)
    engine = Engine(job, list[Any]().append)
    session = Session(engine, folder, CORPUS.feature_dim, Nobody(), lambda: None)
    paces = []
    while (assignment := session.next_assignment()) is not None:
        paces.append(assignment.report_seconds)
    assert paces[:100] == [0.5] * 100
    assert paces[-1] == pytest.approx(0.5 * 251 / 100)
