"""The figures that the doctor judges by, worked out from a corpus and a training."""

from __future__ import annotations

import numpy as np
import pytest

from ntm_ray.corpus import Corpus, unigram_loss
from ntm_ray.model import NTM, examination
from ntm_ray.model.examination import corpus_figures
from ntm_ray.model.judge import encoded_weights
from tests.model.sick_corpora import COHERENT, made, trained


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return made(600, common=0.1)


@pytest.fixture(scope="module")
def model(corpus: Corpus) -> NTM:
    return trained(corpus, epochs=8, **COHERENT)


def test_figures_of_a_corpus_are_those_of_its_counts(corpus: Corpus) -> None:
    figures = corpus_figures(corpus)
    assert figures.documents == corpus.train.shape[0]
    np.testing.assert_array_equal(
        figures.document_frequencies, (corpus.train.toarray() > 0).sum(axis=0)
    )
    assert figures.median_tokens == np.median(corpus.train.toarray().sum(axis=1))
    assert figures.train_loss == pytest.approx(unigram_loss(corpus.train, corpus.train))
    assert figures.validation_loss == pytest.approx(unigram_loss(corpus.train, corpus.validation))


def test_of_a_large_corpus_blocks_from_all_over_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(examination, "_BLOCK", 50)
    monkeypatch.setattr(examination, "_MOST_DOCUMENTS", 200)
    corpus = made(2000, validation_fraction=0.1)
    figures = corpus_figures(corpus)
    assert figures.documents == 200
    assert figures.median_tokens == 60
    exact = unigram_loss(corpus.train, corpus.train)
    assert figures.train_loss == pytest.approx(exact, rel=0.03)


def test_a_model_has_the_figures_of_its_corpus_and_topics(model: NTM, corpus: Corpus) -> None:
    found = model.evidence
    assert found.train_documents == corpus.train.shape[0]
    assert found.validation_documents == corpus.validation.shape[0]
    assert found.vocabulary_size == corpus.feature_dim
    weights = encoded_weights(model._ready(), corpus.validation).mean(axis=0)
    assert found.largest_topic == weights.argmax()
    assert found.largest_topic_share == pytest.approx(weights.max(), rel=1e-5)
    assert list(found.largest_topic_words) == model.topics(5)[int(weights.argmax())]


def test_shares_of_common_and_rare_words_are_of_places_among_top_words(
    model: NTM, corpus: Corpus
) -> None:
    found = model.evidence
    in_documents = corpus_figures(corpus).document_frequencies
    column = {word: number for number, word in enumerate(corpus.vocabulary)}
    places = [word for topic in model.topics(10) for word in topic]
    rare = [word for word in places if in_documents[column[word]] < 5]
    common = [
        word
        for word in places
        if in_documents[column[word]] >= 0.3 * corpus.train.shape[0] and places.count(word) >= 2
    ]
    assert found.rare_word_share == pytest.approx(len(rare) / len(places))
    assert found.common_word_share == pytest.approx(len(common) / len(places))
    assert found.rare_vocabulary_share == pytest.approx((in_documents < 5).mean())
    assert found.known_words == (in_documents >= 5).sum()


def test_the_error_of_the_gain_falls_with_the_root_of_the_number_of_documents(
    model: NTM, corpus: Corpus
) -> None:
    found = model.evidence.gain_error
    assert found is not None
    assert model.evidence.unigram_loss is not None
    gains = []
    for document in corpus.validation:
        unigram = unigram_loss(corpus.train, document)
        gains.append(unigram - model.evaluate(document).total_loss)
    assert found == pytest.approx(np.std(gains) / np.sqrt(len(gains)), rel=0.2)


def test_metrics_are_numbers_though_the_folder_has_words_too(model: NTM) -> None:
    assert all(isinstance(value, int | float) for value in model.metrics.values())
    assert model.metrics["common_word_share"] == model.evidence.common_word_share
