"""Who judges topics, by which documents."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ntm_ray import NTM, Corpus
from ntm_ray.corpus import bars
from ntm_ray.model import CoherenceReference, Hyperparameters, Training, top_numbers
from ntm_ray.model import judge as judges
from ntm_ray.model.judge import Judge
from ntm_ray.model.measures import MEASURES
from ntm_ray.model.objectives import OBJECTIVES, TOTAL_LOSS, Objective, objective_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

CORPUS = bars(documents=200)
SETTINGS = {
    "feature_dim": CORPUS.feature_dim,
    "num_topics": 5,
    "epochs": 12,
    "num_patience_epochs": 13,
    "optimizer": "adam",
    "learning_rate": 0.05,
    "mini_batch_size": 32,
}


def trained(objective: Objective = TOTAL_LOSS, corpus: Corpus = CORPUS) -> Training:
    training = Training(Hyperparameters.parse(SETTINGS), corpus, seed=4, objective=objective)
    while not training.finished:
        training.train_epoch()
    return training


def weights_of(training: Training) -> NDArray[np.float32]:
    return np.asarray(training.best_tensors["projection_weight"].numpy())


def npmi_by(corpus: Corpus, part: str, training: Training) -> float:
    numbers = top_numbers(weights_of(training), 10)
    return float(CoherenceReference(corpus.partitions[part]).npmi(numbers).mean())


def test_few_validation_documents_leave_npmi_to_those_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = trained()
    by = {part: npmi_by(CORPUS, part, training) for part in ("train", "validation")}
    assert by["train"] != by["validation"]
    assert Judge(CORPUS).topics(weights_of(training))["npmi"] == by["train"]
    monkeypatch.setattr(judges, "LEAST_DOCUMENTS", CORPUS.documents["validation"])
    assert Judge(CORPUS).topics(weights_of(training))["npmi"] == by["validation"]


def test_a_judge_says_of_a_model_what_its_metrics_say() -> None:
    training = trained()
    alone = NTM.from_training(training).metrics
    judged = NTM.from_training(training, judge=Judge(CORPUS)).metrics
    assert alone == judged
    assert set(MEASURES) <= set(alone)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != TOTAL_LOSS.name])
def test_the_best_epoch_is_the_one_that_the_objective_likes_most(name: str) -> None:
    objective = OBJECTIVES[name]
    training = trained(objective)
    values = [record.objective for record in training.history]
    assert all(value is not None for value in values)
    scores = [objective.score(value) for value in values]
    assert training.best is training.history[scores.index(min(scores))]
    # And its model is of that epoch, not of the last.
    found = Judge(CORPUS).topics(weights_of(training))
    figures = training.best.metrics() | found
    assert objective.value(figures, 5) == training.best.objective


def test_an_objective_changes_no_loss_and_no_step() -> None:
    usual, other = trained(), trained(OBJECTIVES["npmi"])
    assert [asdict(r.validation) for r in usual.history if r.validation] == [
        asdict(r.validation) for r in other.history if r.validation
    ]
    assert usual.best is not None
    assert usual.best.loss == min(record.loss for record in usual.history)


def test_without_another_objective_nobody_looks_at_topics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("topics were looked at")

    monkeypatch.setattr(Judge, "__init__", refuse)
    training = trained()
    assert [record.topics for record in training.history] == [None] * 12
    assert "objective" not in training.history[0].metrics()


def test_a_training_that_is_restored_goes_on_with_the_same_best_epoch() -> None:
    objective = OBJECTIVES["topic_quality"]
    whole = trained(objective)
    first = Training(Hyperparameters.parse(SETTINGS), CORPUS, seed=4, objective=objective)
    for _ in range(7):
        first.train_epoch()
    second = Training(Hyperparameters.parse(SETTINGS), CORPUS, seed=9, objective=objective)
    second.load_state_dict(first.state_dict())
    while not second.finished:
        second.train_epoch()
    assert whole.best is not None
    assert second.best is not None
    assert second.best.epoch == whole.best.epoch
    assert [r.objective for r in second.history] == [r.objective for r in whole.history]
    np.testing.assert_array_equal(weights_of(second), weights_of(whole))


def test_weights_that_are_no_numbers_end_a_training_that_looks_at_topics_as_diverged() -> None:
    corpus = bars(side=6)  # more words than are looked at of a topic
    settings = {"feature_dim": corpus.feature_dim, "num_topics": 3}
    training = Training(
        Hyperparameters.parse(settings), corpus, seed=0, objective=objective_named("npmi")
    )
    state = training.state_dict()
    tensors = state["tensors"]
    for name in [name for name in tensors if "projection_weight" in name]:
        tensors[name] = tensors[name] * math.nan
    training.load_state_dict(state)
    record = training.train_epoch()
    assert (training.stop_reason, training.best) == ("diverged", None)
    assert record.topics is None
    assert math.isnan(record.metrics()["objective"])
