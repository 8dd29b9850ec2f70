"""A job that searches for something else than the loss: every part goes by it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ntm_ray import TuningJob
from ntm_ray.corpus import bars
from ntm_ray.errors import JobError
from ntm_ray.tuning import OBJECTIVE, Status
from ntm_ray.tuning.assignment import TrialSetting
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.progress import Nobody, Progress
from ntm_ray.tuning.schedulers import Decision
from ntm_ray.tuning.session import Session
from ntm_ray.tuning.tables import epochs_table, trials_table
from ntm_ray.tuning.trial import RunningTrial
from tests.tuning.made_up import as_in_a_journal, job_of

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.search import Observation

FIXED = {"num_topics": 3, "epochs": 27}


class Listening:
    """A search algorithm that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def propose(self, trial: str) -> dict[str, Any]:  # noqa: ARG002 - as all of them
        return {"optimizer": "sgd", "learning_rate": 0.01, "mini_batch_size": 32}

    def adopt(self, trial: str, configuration: dict[str, Any]) -> None:
        """Take note of nothing."""

    def tell(self, trial: str, observation: Observation) -> None:
        self.told.append((trial, observation.loss))


def rows(*pairs: tuple[float | None, float | None], first: int = 1) -> list[dict[str, Any]]:
    """Rows of epochs with a loss and an objective each."""
    return [
        {"epoch": epoch, OBJECTIVE: loss, "objective": value, "seconds": 0.5}
        for epoch, (loss, value) in enumerate(pairs, start=first)
    ]


def engine_of(events: list[Event] | None = None, **fields: Any) -> Engine:
    said: dict[str, Any] = {"objective": "npmi", "first_configurations": False} | fields
    engine = Engine(job_of(**said), (events if events is not None else []).append)
    engine.algorithm = Listening()
    engine.next_trial()  # the yardstick
    return engine


def test_asha_and_the_search_algorithm_go_by_the_objective() -> None:
    engine = engine_of()
    names = [trial.name for _ in range(3) if (trial := engine.next_trial())]
    # The better the loss, the worse the topics.
    said = [
        engine.report(name, rows((loss, npmi)))
        for name, loss, npmi in zip(names, (7.0, 6.0, 5.0), (0.2, 0.1, 0.0), strict=True)
    ]
    assert said == [Decision.CONTINUE, Decision.STOP, Decision.STOP]
    assert isinstance(engine.algorithm, Listening)
    told = dict(engine.algorithm.told)
    assert told == {"0000": -0.2, "0001": -0.1, "0002": -0.0}


def test_objectives_within_a_hundredth_are_equal_to_asha() -> None:
    engine = engine_of()
    names = [trial.name for _ in range(2) if (trial := engine.next_trial())]
    said = [
        engine.report(name, rows((7.0, npmi)))
        for name, npmi in zip(names, (0.2, 0.205), strict=True)
    ]
    assert said == [Decision.CONTINUE, Decision.STOP], "as close as that, the first goes on"


def test_the_best_trial_is_the_best_by_the_objective_and_resumes_as_such() -> None:
    events: list[Event] = []
    engine = engine_of(events, scheduler="none")
    for loss, npmi in ((7.0, 0.1), (7.5, 0.3), (6.5, 0.2)):
        trial = engine.next_trial()
        assert trial is not None
        engine.report(
            trial.name, rows((loss, npmi), (loss - 1, npmi - 0.05)), saved_epoch=1, saved_bytes=9
        )
        engine.report(trial.name, [], stop_reason="epochs")
    assert engine.best is not None
    assert (engine.best.name, engine.best.saved_score) == ("0001", -0.3)
    progress = Progress.of(engine, 1.0, 0)
    assert (progress.best_value, progress.best_loss) == (0.3, 7.5)
    resumed = Engine(engine.job, list[object]().append)
    resumed.resume(as_in_a_journal(events))
    assert resumed.best is not None
    assert resumed.best.name == "0001"
    assert resumed.models.bytes == engine.models.bytes == 27


def test_an_epoch_without_a_value_counts_as_diverged_ones_do() -> None:
    engine = engine_of()
    trial = engine.next_trial()
    assert trial is not None
    assert engine.report(trial.name, rows((7.0, None))) is Decision.STOP
    assert isinstance(engine.algorithm, Listening)
    assert engine.algorithm.told[-1][1] == math.inf
    assert engine.best is None


def test_a_diverged_trial_is_the_worst_whatever_its_topics_were() -> None:
    engine = engine_of()
    trial = engine.next_trial()
    assert trial is not None
    decision = engine.report(trial.name, rows((None, 0.9)), stop_reason="diverged")
    assert decision is Decision.STOP
    assert trial.status is Status.DIVERGED
    assert isinstance(engine.algorithm, Listening)
    assert {loss for _, loss in engine.algorithm.told} == {math.inf}


def test_tables_have_the_objective_only_where_it_is_not_the_loss() -> None:
    engine = engine_of(scheduler="none")
    trial = engine.next_trial()
    assert trial is not None
    more = {"npmi": 0.3, "topic_uniqueness": 0.5, "topic_diversity": 0.6}
    engine.report(trial.name, [row | more for row in rows((7.0, 0.3), (6.5, 0.2))])
    (row,) = trials_table(engine.searched, FIXED, 25).to_pylist()
    assert (row["best_objective"], row["last_objective"]) == (0.3, 0.2)
    assert (row[f"best_{OBJECTIVE}"], row[f"last_{OBJECTIVE}"]) == (6.5, 6.5)
    epochs = epochs_table(engine.searched)
    assert epochs["objective"].to_pylist() == [0.3, 0.2]
    assert epochs["npmi"].to_pylist() == [0.3, 0.3]
    usual = engine_of(objective=OBJECTIVE)
    usual.next_trial()
    assert "best_objective" not in trials_table(usual.searched, FIXED, 25).schema.names
    assert "objective" not in epochs_table(usual.searched).schema.names


def test_a_job_file_says_its_objective_and_is_read_back() -> None:
    job = TuningJob(corpus="synthetic", objective="balanced")
    assert yaml.safe_load(job.to_yaml())["objective"] == "balanced"
    assert TuningJob(corpus="synthetic").objective == OBJECTIVE
    with pytest.raises(JobError, match="no objective is called 'umass'; there are validation"):
        TuningJob(corpus="synthetic", objective="umass")


@pytest.mark.parametrize("objective", [OBJECTIVE, "topic_quality"])
def test_a_slot_looks_at_topics_after_each_epoch_if_the_objective_needs_them(
    objective: str, tmp_path: Path
) -> None:
    corpus = bars(documents=80)
    job = TuningJob(
        corpus=corpus,
        hyperparameters={"num_topics": 3, "epochs": 5},
        objective=objective,
        storage=tmp_path,
        name="job",
        trials=1,
    )
    folder = JobFolder.create(job, corpus)
    events: list[Event] = []
    engine = Engine(job, events.append)
    session = Session(engine, folder, corpus.feature_dim, Nobody(), lambda: None)
    session.next_assignment()
    assignment = session.next_assignment()
    assert assignment is not None
    setting = TrialSetting(
        frozenset({1, 3}), 1, "cpu", "float32", 30, folder.models, folder.states, objective
    )
    running = RunningTrial(assignment, corpus, setting, "cpu")
    for _ in range(3):
        session.report(running.train())
    trial = engine.trials["0000"]
    assert trial.epochs == 5
    looked = {"objective", "npmi", "topic_uniqueness", "topic_diversity"} & trial.curve[0].keys()
    assert bool(looked) is (objective != OBJECTIVE)
    assert trial.saved is not None
    scores = [trial.score(row) for row in trial.curve]
    assert trial.saved["epoch"] == scores.index(min(scores)) + 1
    metrics = json.loads((folder.best / "metrics.json").read_text())
    assert metrics["epoch"] == trial.saved["epoch"]


def test_a_search_space_says_what_it_is_for_unless_the_job_does() -> None:
    assert TuningJob(corpus="synthetic").objective == OBJECTIVE
    job = TuningJob(corpus="synthetic", search_space="coherent")
    assert job.objective == "balanced"
    assert str(job.scheduler) == "asha, grace_epochs 4"
    assert TuningJob(**yaml.safe_load(job.to_yaml())) == job
    assert yaml.safe_load(job.to_yaml())["objective"] == "balanced"
    other = TuningJob(corpus="synthetic", search_space="coherent", objective=OBJECTIVE)
    assert other.objective == OBJECTIVE
    assert TuningJob(**yaml.safe_load(other.to_yaml())).objective == OBJECTIVE


def test_a_search_space_that_is_for_nothing_there_is_is_refused_in_one_line() -> None:
    space = {"name": "own", "parameters": [], "objective": "blanced"}
    with pytest.raises(
        JobError, match=r"objective: no objective is called 'blanced'; did you mean"
    ):
        TuningJob(corpus="synthetic", search_space=space)
