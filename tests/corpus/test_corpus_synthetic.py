"""Bars: the topics are known, and the documents are drawn from them."""

from __future__ import annotations

import numpy as np
import pytest

from ntm_ray.corpus import bars


@pytest.mark.parametrize("side", [3, 5])
def test_each_topic_is_one_row_or_one_column(side: int) -> None:
    corpus = bars(documents=20, side=side)
    assert corpus.true_topics is not None
    assert corpus.true_topics.shape == (2 * side, side**2)
    np.testing.assert_allclose(corpus.true_topics.sum(axis=1), 1)
    words = np.array(corpus.vocabulary)
    for number, topic in enumerate(corpus.true_topics):
        of_topic = words[topic > 0].tolist()
        if number < side:
            assert of_topic == [f"r{number}c{column}" for column in range(side)]
        else:
            assert of_topic == [f"r{row}c{number - side}" for row in range(side)]


def test_every_document_has_the_same_number_of_words() -> None:
    corpus = bars(documents=200, words_per_document=40)
    assert corpus.documents == {"train": 180, "validation": 20, "test": 0}
    assert set(np.asarray(corpus.train.sum(axis=1)).ravel()) == {40.0}


def test_with_a_small_alpha_documents_are_single_bars_and_with_a_large_one_they_are_grey() -> None:
    words = {
        alpha: np.median(np.diff(bars(documents=200, alpha=alpha).train.indptr))
        for alpha in (0.001, 100.0)
    }
    assert words == {0.001: 5, 100.0: 25}


def test_a_seed_determines_the_corpus() -> None:
    assert bars(50, seed=1).fingerprint == bars(50, seed=1).fingerprint
    assert bars(50, seed=1).fingerprint != bars(50, seed=2).fingerprint
