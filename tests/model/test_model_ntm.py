from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.sparse

from ntm_ray.corpus import Corpus, bars
from ntm_ray.errors import CorpusError, HyperparameterError, NtmRayError
from ntm_ray.model import NTM, EpochRecord

if TYPE_CHECKING:
    from pathlib import Path


TUNED = {
    "num_topics": 10,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "encoder_layers": "100",
    "encoder_layers_activation": "relu",
    "batch_norm": True,
    "mini_batch_size": 64,
}


@pytest.fixture(scope="module")
def grid() -> Corpus:
    return bars(documents=2000, seed=0)


@pytest.fixture(scope="module")
def fitted(grid: Corpus) -> NTM:
    return NTM(TUNED, epochs=60, num_patience_epochs=60).fit(grid, device="cpu")


def test_a_good_configuration_recovers_every_bar(fitted: NTM, grid: Corpus) -> None:
    found, truth = fitted.topic_word, grid.true_topics
    assert truth is not None
    cosine = (truth / np.linalg.norm(truth, axis=1, keepdims=True)) @ (
        found / np.linalg.norm(found, axis=1, keepdims=True)
    ).T
    assert sorted(cosine.argmax(axis=1)) == list(range(10))
    assert cosine.max(axis=1).min() > 0.9


def test_fit_reports_every_epoch_and_keeps_the_best(corpus: Corpus) -> None:
    seen: list[EpochRecord] = []
    model = NTM(num_topics=3, optimizer="adam", learning_rate=0.2, epochs=12)
    model.fit(corpus, device="cpu", on_epoch=seen.append)
    assert seen == model.history
    best = min(seen, key=lambda record: record.loss)
    assert best.epoch < len(seen), "the curve must turn for this test to say anything"
    assert model.metrics["epoch"] == best.epoch
    assert model.metrics["validation:total_loss"] == best.loss
    evaluated = model.evaluate(corpus.validation)
    assert evaluated.total_loss == pytest.approx(best.loss, rel=1e-6)


def test_metrics_tell_how_alive_the_topics_are(fitted: NTM) -> None:
    assert fitted.metrics["kl_per_document"] > 1
    assert 1 / 10 <= fitted.metrics["topic_uniqueness"] <= 1
    assert "validation:kld" in fitted.metrics


def test_topics_are_the_most_probable_words(fitted: NTM, grid: Corpus) -> None:
    order = np.argsort(-fitted.topic_word, axis=1, kind="stable")[:, :4]
    assert fitted.topics(4) == [[grid.vocabulary[word] for word in topic] for topic in order]
    np.testing.assert_allclose(fitted.topic_word.sum(axis=1), 1, rtol=1e-5)


def test_topic_weights_sum_to_one_and_are_the_same_for_dense_counts(
    fitted: NTM, grid: Corpus
) -> None:
    weights = fitted.transform(grid.validation)
    assert weights.shape == (grid.validation.shape[0], 10)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(weights, fitted.transform(grid.validation.toarray()))
    assert np.ptp(weights, axis=0).min() > 0.5


def test_a_document_without_a_known_word_gets_the_same_weight_for_every_topic(
    fitted: NTM, grid: Corpus
) -> None:
    counts = scipy.sparse.vstack(
        [grid.validation[:1], scipy.sparse.csr_matrix((1, grid.feature_dim))], format="csr"
    )
    weights = fitted.transform(counts)
    np.testing.assert_allclose(weights[1], 1 / 10, rtol=1e-6)
    np.testing.assert_allclose(weights[0], fitted.transform(counts[:1])[0], rtol=1e-5)


def test_no_documents_get_no_topic_weights(fitted: NTM, grid: Corpus) -> None:
    assert fitted.transform(np.zeros((0, grid.feature_dim))).shape == (0, 10)


def test_counts_that_do_not_fit_are_refused(fitted: NTM, grid: Corpus) -> None:
    words = grid.feature_dim
    for wrong in (np.ones((2, words + 1)), -np.ones((2, words)), np.full((2, words), np.nan)):
        with pytest.raises(CorpusError, match=r"^counts"):
            fitted.transform(wrong)
    with pytest.raises(CorpusError, match="no document has a word"):
        fitted.evaluate(np.zeros((2, words)))


def test_a_saved_model_answers_as_the_one_in_memory(
    fitted: NTM, grid: Corpus, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "model")
    loaded = NTM.load(tmp_path / "model")
    assert loaded.hyperparameters == fitted.hyperparameters
    assert loaded.metrics == fitted.metrics
    assert loaded.topics() == fitted.topics()
    np.testing.assert_array_equal(
        loaded.transform(grid.validation), fitted.transform(grid.validation)
    )
    assert loaded.evaluate(grid.validation) == fitted.evaluate(grid.validation)


def test_a_model_that_is_not_trained_says_so(corpus: Corpus, tmp_path: Path) -> None:
    model = NTM(num_topics=3)
    for use in (
        lambda: model.topics(),
        lambda: model.metrics,
        lambda: model.topic_word,
        lambda: model.transform(corpus.validation),
        lambda: model.evaluate(corpus.validation),
        lambda: model.save(tmp_path / "model"),
    ):
        with pytest.raises(NtmRayError, match=r"not trained; call fit or NTM.load first"):
            use()


def test_hyperparameters_are_checked_when_they_are_given() -> None:
    with pytest.raises(HyperparameterError, match=r"^num_topics: a value is required"):
        NTM()
    with pytest.raises(HyperparameterError, match="did you mean epochs"):
        NTM({"num_topics": 3}, epoch=3)


def test_a_training_without_a_finite_loss_has_no_model(corpus: Corpus) -> None:
    counts = scipy.sparse.csr_matrix(corpus.train * np.float32(1e30))
    huge = Corpus.from_counts(counts, corpus.vocabulary)
    model = NTM(num_topics=3, optimizer="sgd", learning_rate=1.0)
    with pytest.raises(HyperparameterError, match=r"^learning_rate: 1.0 left no epoch"):
        model.fit(huge, device="cpu")
