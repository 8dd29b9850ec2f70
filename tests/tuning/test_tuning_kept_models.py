"""Each trial's best model is kept, within a budget; what goes first and what never goes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray import NTM, TuningJob
from ntm_ray.corpus import bars
from ntm_ray.tuning import OBJECTIVE
from ntm_ray.tuning.assignment import Report, TrialSetting
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.kept_models import front_of, to_drop
from ntm_ray.tuning.progress import Nobody
from ntm_ray.tuning.session import Session
from ntm_ray.tuning.trial import RunningTrial
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL, Status, Trial
from tests.tuning.made_up import as_in_a_journal

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.tuning.journal import Event

CORPUS = bars(documents=80)
MEGABYTE = 1_000_000


def trial_of(
    name: str, loss: float, npmi: float, unique: float, status: Status = Status.FINISHED
) -> Trial:
    row = {"epoch": 1, OBJECTIVE: loss}
    return Trial(
        name,
        {},
        0,
        0.0,
        status,
        curve=[row],
        saved=row,
        saved_bytes=10,
        is_kept=True,
        measures={"npmi": npmi, "topic_uniqueness": unique},
        measured=row,
    )


BEST = trial_of("0000", 6.0, 0.1, 0.3)
COHERENT = trial_of("0001", 6.5, 0.3, 0.4)
UNIQUE = trial_of("0002", 7.0, 0.2, 0.9)
BEATEN = trial_of("0003", 6.6, 0.1, 0.3)
WORST = trial_of("0004", 9.0, 0.0, 0.1)
ALL = [BEST, COHERENT, UNIQUE, BEATEN, WORST]


def names(trials: list[Trial]) -> list[str]:
    return [trial.name for trial in trials]


def test_within_the_budget_nothing_goes() -> None:
    assert to_drop(ALL, BEST, 50) == []


@pytest.mark.parametrize(
    ("budget", "going"),
    [
        (49, ["0004"]),
        (40, ["0004"]),
        (39, ["0004", "0003"]),
        (20, ["0004", "0003", "0002"]),
        (10, ["0004", "0003", "0002", "0001"]),
        (0, ["0004", "0003", "0002", "0001"]),
    ],
)
def test_the_beaten_go_first_the_worst_before_others_and_those_of_the_front_last(
    budget: int, going: list[str]
) -> None:
    assert names(front_of(ALL)) == ["0000", "0001", "0002"]
    assert names(to_drop(ALL, BEST, budget)) == going


def test_a_trial_that_trains_keeps_its_model_and_one_that_is_paused_need_not() -> None:
    running = trial_of("0005", 9.5, 0.0, 0.1, Status.RUNNING)
    paused = trial_of("0006", 9.4, 0.0, 0.1, Status.PAUSED)
    assert names(to_drop([BEST, running, paused], BEST, 0)) == ["0006"]


def test_a_model_whose_measures_are_not_known_is_none_of_the_front() -> None:
    unknown = trial_of("0007", 5.9, 0.0, 0.0)
    unknown.measures = {}
    assert names(front_of([*ALL, unknown])) == ["0000", "0001", "0002"]


# With a folder


def session_in(folder: Path, events: list[Event], **fields: Any) -> Session:
    job = TuningJob(
        corpus=CORPUS,
        hyperparameters={"num_topics": 3, "epochs": 2},
        search="random",
        scheduler="none",
        trials=6,
        storage=folder,
        name="job",
        **fields,
    )
    opened = JobFolder.create(job, CORPUS)
    return Session(Engine(job, events.append), opened, CORPUS.feature_dim, Nobody(), lambda: None)


def carry_out(session: Session, folder: JobFolder, trials: int) -> list[Report]:
    setting = TrialSetting(frozenset(), 1, "cpu", "float32", 30, folder.models, folder.states)
    reports = []
    for _ in range(trials):
        assignment = session.next_assignment()
        assert assignment is not None
        reports.append(RunningTrial(assignment, CORPUS, setting, "cpu").train())
        session.report(reports[-1])
    return reports


def test_every_trial_of_the_search_keeps_its_best_model(tmp_path: Path) -> None:
    session = session_in(tmp_path, [])
    folder = JobFolder.open(tmp_path / "job")
    reports = carry_out(session, folder, 7)
    assert folder.models.names() == [f"{number:04d}" for number in range(6)], "not the yardstick's"
    for report in reports:
        if report.trial == DEFAULTS_TRIAL:
            continue
        (epoch,) = (folder.models / report.trial).names()
        assert int(epoch) == report.saved_epoch
        place = folder.trial_model(report.trial, int(epoch))
        model = NTM.load(place.path)
        assert model.metrics["epoch"] == report.saved_epoch
        size = sum(file.stat().st_size for file in place.path.iterdir())
        assert session.engine.trials[report.trial].saved_bytes == report.saved_bytes == size
    assert session.engine.models.bytes == sum(report.saved_bytes or 0 for report in reports)


def test_a_budget_is_kept_to_and_known_again_after_a_kill(tmp_path: Path) -> None:
    events: list[Event] = []
    one = 4500  # bytes that one of these models takes, and a little more
    session = session_in(tmp_path, events, keep_models_mb=3 * one / MEGABYTE)
    folder = JobFolder.open(tmp_path / "job")
    carry_out(session, folder, 7)
    engine = session.engine
    kept = [trial.name for trial in engine.searched if trial.is_kept]
    assert len(kept) == 3
    assert folder.models.names() == kept
    assert engine.models.bytes <= 3 * one
    assert engine.best is not None
    assert engine.best.name in kept
    assert folder.best.is_dir()
    resumed = Engine(engine.job, list[object]().append)
    resumed.resume(as_in_a_journal(events))
    assert [trial.name for trial in resumed.searched if trial.is_kept] == kept
    assert resumed.models.bytes == engine.models.bytes


def test_a_finished_job_keeps_what_its_journal_says_and_nothing_half_written(
    tmp_path: Path,
) -> None:
    session = session_in(tmp_path, [])
    folder = JobFolder.open(tmp_path / "job")
    reports = carry_out(session, folder, 3)
    half = folder.models.path / "0000" / ".2.killed" / "new"
    half.mkdir(parents=True)
    unheard_of = folder.trial_model("0099", 3).path
    unheard_of.mkdir(parents=True)
    kept = [(r.trial, r.saved_epoch) for r in reports if r.saved_epoch is not None]
    folder.tidy(kept)
    assert folder.models.folders() == [f"{trial}/{epoch}" for trial, epoch in kept]
    assert not half.parent.exists()
    assert folder.models.names() == ["0000", "0001"]
    folder.tidy([])
    assert not folder.models.exists()


def test_a_journal_that_drops_what_was_never_kept_belongs_to_no_job(tmp_path: Path) -> None:
    from ntm_ray.errors import JobError

    session = session_in(tmp_path, [])
    with pytest.raises(JobError, match="event 1 of the journal, 'dropped'"):
        session.engine.resume([{"event": "dropped", "trials": ["0000"], "time": 1.0}])


def test_a_trial_that_goes_on_saves_only_what_is_better_than_its_own_that_was_saved(
    tmp_path: Path,
) -> None:
    session = session_in(tmp_path, [])
    engine = session.engine
    session.next_assignment()
    first = session.next_assignment()
    assert first is not None
    row = {"epoch": 1, OBJECTIVE: 6.5, "seconds": 0.1}
    engine.report(first.trial, [row], saved_epoch=1, saved_bytes=10)
    assert session.assignment(first.trial).save_below == 6.5
    engine.drop_models([engine.trials[first.trial]])
    # What is measured and what is on disk are then always of the same epoch.
    engine.trials[first.trial].goes_on_from = first.trial, 1
    assert session.assignment(first.trial).inherited == 1
    assert session.assignment(first.trial).save_below == 6.5
    better = {"epoch": 2, OBJECTIVE: 6.4, "seconds": 0.1}
    engine.report(first.trial, [better], saved_epoch=2, saved_bytes=12)
    trial = engine.trials[first.trial]
    assert (trial.is_kept, trial.saved, engine.models.bytes) == (True, better, 12)


def test_a_leg_saves_no_model_of_before_it_began_whose_removal_may_still_come(
    tmp_path: Path,
) -> None:
    session = session_in(tmp_path, [])
    folder = JobFolder.open(tmp_path / "job")
    session.next_assignment()
    assignment = session.next_assignment()
    assert assignment is not None
    setting = TrialSetting(frozenset({1}), 1, "cpu", "float32", 30, folder.models, folder.states)
    paused = RunningTrial(replace(assignment, keep_states=True), CORPUS, setting, "cpu").train()
    assert (paused.saved_epoch, paused.state_epoch) == (1, 1)
    folder.drop_model(assignment.trial)
    state = folder.trial_state(assignment.trial, 1)
    values = json.loads((state.path / "values.json").read_bytes())
    values["history"][0]["validation"]["total_loss"] = 0.0  # nothing later is better
    (state.path / "values.json").write_text(json.dumps(values))
    leg = replace(assignment, state=state, inherited=1)
    report = RunningTrial(leg, CORPUS, setting, "cpu").train()
    assert report.stop_reason == "epochs"
    assert (report.saved_epoch, report.measures) == (None, None)
    assert not folder.trial_model(assignment.trial, 1).exists()
    # What it has trained since is its own to save, as after a fault.
    again = replace(leg, inherited=0)
    assert RunningTrial(again, CORPUS, setting, "cpu").train().saved_epoch == 1
