"""Objectives: what they are worth, and that no collapsed model wins by a trick."""

from __future__ import annotations

import math

import pytest

from ntm_ray.errors import JobError
from ntm_ray.model.objectives import CHOICES, OBJECTIVES, TOTAL_LOSS, objective_named

GOOD = {
    "validation:total_loss": 7.0,
    "completion": 6.5,
    "npmi": 0.2,
    "topic_uniqueness": 0.8,
    "topic_diversity": 0.75,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("validation:total_loss", 7.0),
        ("completion", 6.5),
        ("npmi", 0.2),
        ("topic_quality", 0.2 * 0.75),
        ("balanced", 6.5 - 0.2 * 0.8),
        ("topic_uniqueness", 0.8),
        ("topic_diversity", 0.75),
    ],
)
def test_an_objective_is_what_its_formula_says(name: str, value: float) -> None:
    assert CHOICES[name].value(GOOD, 20) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", CHOICES)
def test_less_of_a_score_is_better_whichever_way_the_objective_goes(name: str) -> None:
    objective = CHOICES[name]
    better, worse = (2.0, 1.0) if objective.is_maximized else (1.0, 2.0)
    assert objective.score(better) < objective.score(worse) < objective.score(None)
    assert objective.of_score(objective.score(better)) == better
    assert objective.of_score(math.inf) is None
    assert (objective.direction == "maximize") is objective.is_maximized


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_what_cannot_be_told_is_the_worst(name: str, missing: float | None) -> None:
    objective = CHOICES[name]
    value = objective.value(dict.fromkeys(GOOD, missing), 20)
    assert math.isnan(value)
    assert objective.score(value) == math.inf
    assert objective.words(value) == "-"


@pytest.mark.parametrize("topics", [2, 5, 20, 200])
def test_topics_that_are_all_the_same_never_win_by_npmi(topics: int) -> None:
    npmi = OBJECTIVES["npmi"]
    same = GOOD | {"npmi": 0.9, "topic_uniqueness": 1 / topics}
    poor = GOOD | {"npmi": 0.01, "topic_uniqueness": 0.9}
    assert npmi.score(npmi.value(same, topics)) > npmi.score(npmi.value(poor, topics))


def test_among_collapsed_models_npmi_still_tells_which_is_better() -> None:
    npmi = OBJECTIVES["npmi"]
    values = [npmi.value(GOOD | {"npmi": n, "topic_uniqueness": 0.05}, 20) for n in (0.1, 0.2)]
    assert values[0] < values[1]


def test_a_single_topic_has_not_collapsed() -> None:
    assert OBJECTIVES["npmi"].value(GOOD | {"topic_uniqueness": 1.0}, 1) == 0.2


@pytest.mark.parametrize("name", ["topic_quality", "balanced"])
def test_topics_without_coherence_are_not_better_for_being_alike(name: str) -> None:
    objective = OBJECTIVES[name]
    incoherent = GOOD | {"npmi": -0.3}
    alike = incoherent | {"topic_uniqueness": 0.05, "topic_diversity": 0.05}
    scores = [objective.score(objective.value(one, 20)) for one in (incoherent, alike)]
    assert scores[0] <= scores[1]


def test_a_name_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(JobError, match=r"no objective is called 'nmpi'; did you mean 'npmi'\?"):
        objective_named("nmpi")
    with pytest.raises(JobError, match="there are validation:total_loss, completion, npmi, "):
        objective_named("coherence")
    with pytest.raises(JobError, match="no objective is called 'topic_uniqueness'"):
        objective_named("topic_uniqueness")
    assert objective_named("validation:total_loss") is TOTAL_LOSS
