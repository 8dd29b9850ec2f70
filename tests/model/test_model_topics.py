from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.model import (
    live_topics,
    repeated_words,
    top_words,
    topic_diversity,
    topic_uniqueness,
    word_probabilities,
)

VOCABULARY = ("a", "b", "c", "d")
# (vocabulary, topics)
WEIGHTS = np.array([[0.0, 5.0], [3.0, 5.0], [1.0, -2.0], [2.0, 7.0]], dtype=np.float32)


def test_top_words_are_ordered_by_their_topics_column_of_weights() -> None:
    assert top_words(WEIGHTS, VOCABULARY, 3) == [["b", "d", "c"], ["d", "a", "b"]]


def test_asking_for_more_words_than_there_are_gives_them_all() -> None:
    assert [len(topic) for topic in top_words(WEIGHTS, VOCABULARY, 10)] == [4, 4]


def test_word_probabilities_are_a_softmax_over_the_vocabulary() -> None:
    found = word_probabilities(WEIGHTS)
    expected = np.exp([0, 3, 1, 2]) / np.exp([0, 3, 1, 2]).sum()
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    assert np.isfinite(word_probabilities(WEIGHTS * 1e4)).all()


def test_topic_uniqueness_of_a_hand_counted_example() -> None:
    # a is in two topics, b in three, the others in one.
    topics = [["a", "b", "c"], ["a", "b", "d"], ["e", "b", "f"]]
    first_two, third = (1 / 2 + 1 / 3 + 1) / 3, (1 + 1 / 3 + 1) / 3
    assert topic_uniqueness(topics) == pytest.approx((2 * first_two + third) / 3)


@given(st.integers(1, 8), st.integers(1, 12))
def test_topic_uniqueness_runs_from_one_over_the_topics_to_one(topics: int, words: int) -> None:
    same = [[f"w{i}" for i in range(words)]] * topics
    different = [[f"t{k}w{i}" for i in range(words)] for k in range(topics)]
    assert topic_uniqueness(same) == pytest.approx(1 / topics)
    assert topic_uniqueness(different) == pytest.approx(1.0)


def test_topic_diversity_is_the_part_of_words_that_differ() -> None:
    assert topic_diversity([["a", "b"], ["c", "d"]]) == 1
    assert topic_diversity([["a", "b"], ["b", "a"]]) == 0.5
    assert topic_diversity([["a", "b"], ["b", "c"], ["a", "d"]]) == pytest.approx(4 / 6)


def test_repeated_words_are_those_of_several_topics_the_most_repeated_first() -> None:
    topics = [["the", "cat", "sat"], ["dog", "the", "cat"], ["the", "sun", "dog"], ["a", "b", "c"]]
    assert repeated_words(topics) == {"the": 3, "cat": 2, "dog": 2}
    assert list(repeated_words(topics)) == ["the", "cat", "dog"]


def test_of_a_collapsed_posterior_no_topic_is_alive() -> None:
    assert live_topics(np.full((50, 4), 0.25, dtype=np.float32)) == 0


def test_a_topic_that_no_document_uses_is_dead() -> None:
    weights = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1]], dtype=np.float32)
    assert live_topics(weights) == 2
    assert live_topics(weights[:0]) == 0
