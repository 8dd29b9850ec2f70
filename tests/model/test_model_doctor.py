"""The doctor's thresholds and words, by figures alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ntm_ray.model import DIAGNOSES, Evidence, diagnose, not_judged
from ntm_ray.model.evidence import curve_figures

HEALTHY = Evidence(
    num_topics=20,
    epochs=40,
    decoder="mixture",
    kl_per_document=12.0,
    topic_uniqueness=0.8,
    npmi=0.2,
    live_topics=20,
    largest_topic=3,
    largest_topic_share=0.08,
    largest_topic_words=("one", "two"),
    common_word_share=0.0,
    rare_word_share=0.0,
    rare_vocabulary_share=0.1,
    known_words=900,
    vocabulary_size=1000,
    median_tokens=50,
    train_documents=9000,
    validation_documents=1000,
    loss=6.5,
    train_loss=6.45,
    unigram_loss=7.0,
    train_unigram_loss=7.0,
    gain_error=0.01,
    epoch=38,
    epochs_trained=40,
    recent_gain=0.002,
    later_rise=0.001,
    later_train_fall=0.001,
)


def names(**figures: Any) -> list[str]:
    return [finding.name for finding in diagnose(replace(HEALTHY, **figures))]


@pytest.mark.parametrize(
    ("name", "sick", "well"),
    [
        ("collapsed", {"kl_per_document": 0.49}, {"kl_per_document": 0.5}),
        ("collapsed", {"topic_uniqueness": 0.39}, {"topic_uniqueness": 0.4}),
        ("dead_topics", {"live_topics": 18}, {"live_topics": 19}),
        ("one_topic", {"largest_topic_share": 0.53}, {"largest_topic_share": 0.52}),
        ("stop_words", {"common_word_share": 0.05}, {"common_word_share": 0.04}),
        ("rare_vocabulary", {"rare_word_share": 0.1}, {"rare_word_share": 0.09}),
        ("rare_vocabulary", {"rare_vocabulary_share": 0.51}, {"rare_vocabulary_share": 0.5}),
        ("short_documents", {"median_tokens": 9}, {"median_tokens": 10}),
        ("still_improving", {"recent_gain": 0.015}, {"recent_gain": 0.014}),
        ("overfitted", {"train_loss": 5.99}, {"train_loss": 6.01}),
        (
            "overfitted",
            {"later_rise": 0.05, "later_train_fall": 0.1},
            {"later_rise": 0.05, "later_train_fall": -0.1},
        ),
        ("small_validation", {"gain_error": 0.021}, {"gain_error": 0.02}),
        ("small_validation", {"validation_documents": 29}, {"validation_documents": 30}),
        ("small_validation", {"validation_documents": 0}, {"validation_documents": 30}),
    ],
)
def test_a_finding_begins_at_its_threshold(
    name: str, sick: dict[str, float], well: dict[str, float]
) -> None:
    assert names(**sick) == [name]
    assert names(**well) == []


def test_every_finding_is_two_sentences_with_a_figure() -> None:
    sick: list[dict[str, Any]] = [
        {"kl_per_document": 0.1, "decoder": "product"},
        {"kl_per_document": 0.1},
        {"topic_uniqueness": 0.2},
        {"live_topics": 3},
        {"largest_topic_share": 0.8},
        {"common_word_share": 0.3, "common_words": ("the", "of"), "common_words_part": 0.7},
        {"rare_word_share": 0.3, "rare_words": ("xylem",)},
        {"rare_vocabulary_share": 0.9},
        {"median_tokens": 4},
        {"recent_gain": 0.1},
        {"train_loss": 5.0},
        {"later_rise": 0.1, "later_train_fall": 0.1},
        {"gain_error": 0.03},
        {"gain_error": 0.1},
        {"validation_documents": 10},
    ]
    told = set()
    for figures in sick:
        (finding,) = diagnose(replace(HEALTHY, **figures))
        told.add(finding.name)
        assert any(letter.isdigit() for letter in finding.wrong), finding.wrong
        for sentence in (finding.wrong, finding.change):
            assert not sentence[0].islower(), sentence
            assert sentence.endswith("."), sentence
            assert ". " not in sentence, sentence
    assert told == set(DIAGNOSES)


def test_what_matters_most_comes_first() -> None:
    found = names(gain_error=0.1, kl_per_document=0.0, median_tokens=3, recent_gain=0.1)
    assert found == ["collapsed", "short_documents", "still_improving", "small_validation"]


def test_of_a_collapsed_model_dead_topics_are_not_said_as_well() -> None:
    assert names(topic_uniqueness=0.1, live_topics=2) == ["collapsed"]


def test_frequent_words_of_collapsed_topics_are_stop_words_only_in_most_documents() -> None:
    collapsed = {"topic_uniqueness": 0.1, "common_word_share": 0.9}
    assert names(**collapsed, common_words_part=0.4) == ["collapsed"]
    assert names(**collapsed, common_words_part=0.6) == ["collapsed", "stop_words"]


@pytest.mark.parametrize(("topics", "uniqueness"), [(2, 0.7), (3, 0.45), (10, 0.35)])
def test_with_few_topics_collapse_is_judged_by_what_uniqueness_they_can_have(
    topics: int, uniqueness: float
) -> None:
    few = {"num_topics": topics, "live_topics": topics}
    assert names(**few, topic_uniqueness=uniqueness) == ["collapsed"]
    assert names(**few, topic_uniqueness=0.8) == []


def test_with_fewer_words_than_places_among_top_words_less_uniqueness_is_asked_for() -> None:
    # Ten topics of ten places over 25 words: their uniqueness is at most 0.25.
    bars = {"num_topics": 10, "live_topics": 10, "vocabulary_size": 25}
    assert names(**bars, topic_uniqueness=0.24) == []


def test_advice_depends_on_what_is_set_already() -> None:
    (plain,) = diagnose(replace(HEALTHY, kl_per_document=0.1, decoder="product"))
    (mixed,) = diagnose(replace(HEALTHY, kl_per_document=0.1, kl_weight=0.6))
    assert "--space coherent" in plain.change
    assert "--set kl_weight=0.3 (now 0.6)" in mixed.change


def test_the_validation_set_that_is_asked_for_grows_with_the_square_of_the_error() -> None:
    (finding,) = diagnose(replace(HEALTHY, gain_error=0.04))
    assert "4,000 (--validation-fraction 0.4," in finding.change
    (finding,) = diagnose(replace(HEALTHY, gain_error=0.08))
    assert finding.change == "Bring more documents, some 16,000 of them for validation."


def test_what_is_not_known_is_not_judged_and_said_to_be_so() -> None:
    old = Evidence.of(
        {"kl_per_document": 3.0, "topic_uniqueness": 0.8, "live_topics": 5},
        {"num_topics": 5, "epochs": 40},
    )
    assert diagnose(old) == []
    judged = {"collapsed", "dead_topics"}
    assert not_judged(old) == [name for name in DIAGNOSES if name not in judged]
    assert not_judged(HEALTHY) == []


def test_figures_that_are_no_figures_are_not_known() -> None:
    told = {"npmi": "high", "loss": 1, "validation:total_loss": float("nan"), "common_words": 3}
    found = Evidence.of(told, {"num_topics": 5, "epochs": 40})
    assert found == Evidence(num_topics=5, epochs=40)


def curve(*losses: float | None) -> list[dict[str, float | None]]:
    return [
        {"train:total_loss": 9.0 - number, "validation:total_loss": loss}
        for number, loss in enumerate(losses)
    ]


def test_a_curve_tells_how_far_the_loss_fell_at_its_end_and_rose_after_its_least() -> None:
    falling = curve_figures(curve(8, 7, 6.5, 6.4, 6.3, 6.2, 6.1, 6.0))
    assert falling["recent_gain"] == pytest.approx(0.2)
    assert falling["later_rise"] == 0
    rising = curve_figures(curve(8, 7, 6.5, 6.6, 6.7, 6.8, 6.9, 7.0))
    assert rising["recent_gain"] == 0
    assert rising["later_rise"] == pytest.approx(0.5)
    assert rising["later_train_fall"] == 5
    assert rising["epochs_trained"] == 8


def test_a_curve_that_ends_in_no_number_is_judged_by_what_is_before() -> None:
    assert curve_figures(curve(8, 7, 6, None)) == curve_figures(curve(8, 7, 6))
    assert curve_figures(curve(None)) == {}


def test_one_epoch_does_not_tell_whether_more_would_be_better() -> None:
    assert "recent_gain" not in curve_figures(curve(8))
