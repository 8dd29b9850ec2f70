"""Synthetic corpora: the topics are known, and the documents are drawn from them."""

from __future__ import annotations

import numpy as np
import pytest

from ntm_ray.corpus import bars, zipf_topics


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


def test_topics_over_a_zipf_vocabulary_are_what_was_asked_for() -> None:
    corpus = zipf_topics(topics=7, documents=300, words=200, words_per_document=(20, 40))
    assert corpus.true_topics is not None
    assert corpus.true_topics.shape == (7, 200)
    np.testing.assert_allclose(corpus.true_topics.sum(axis=1), 1)
    assert corpus.documents == {"train": 270, "validation": 30, "test": 0}
    lengths = np.asarray(corpus.train.sum(axis=1)).ravel()
    assert (lengths.min(), lengths.max()) == (20, 40)


def test_words_of_a_zipf_vocabulary_are_rarer_the_later_and_shared_the_wider_the_spread() -> None:
    corpus = zipf_topics(topics=20, documents=50, words=500, spread=1e5)
    assert corpus.true_topics is not None
    tenths = corpus.true_topics.mean(axis=0).reshape(10, 50).sum(axis=1)
    assert (np.diff(tenths) < 0).all()
    apart = zipf_topics(topics=20, documents=50, words=500, spread=10).true_topics
    assert apart is not None
    assert apart.std(axis=0).sum() > 10 * corpus.true_topics.std(axis=0).sum()


def test_documents_mix_more_topics_the_larger_the_mixing() -> None:
    words = [
        np.diff(zipf_topics(10, 300, spread=10, mixing=mixing).train.indptr).mean()
        for mixing in (0.1, 10)
    ]
    assert words[1] > 1.2 * words[0]


def test_a_seed_determines_the_zipf_corpus() -> None:
    assert zipf_topics(3, 50).fingerprint == zipf_topics(3, 50).fingerprint
    assert zipf_topics(3, 50).fingerprint != zipf_topics(3, 50, seed=1).fingerprint
