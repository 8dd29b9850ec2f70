from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.sparse
import torch

from ntm_ray.model import Hyperparameters, Losses, evaluation
from ntm_ray.model.evaluation import LossSum, evaluate, kl_per_document
from ntm_ray.model.network import DocumentLosses, Network

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus


def network_of(corpus: Corpus, **changes: object) -> Network:
    made = Network(
        Hyperparameters.parse({"feature_dim": corpus.feature_dim, "num_topics": 3, **changes})
    )
    made.initialise(np.random.default_rng(0))
    # Sigma well above 0 and W away from it: noise then changes the loss.
    made.parameters["projection_weight"].mul_(30)
    made.parameters["mean_weight"].mul_(10)
    return made


def assert_close(found: Losses, expected: Losses) -> None:
    assert found.total_loss == pytest.approx(expected.total_loss, rel=1e-6)
    assert found.kld == pytest.approx(expected.kld, rel=1e-6)


def test_a_loss_is_the_mean_of_ratios_and_not_the_ratio_of_sums() -> None:
    total = LossSum()
    total.add(
        DocumentLosses(recons=torch.tensor([10.0, 4.0]), kld=torch.tensor([2.0, 2.0])),
        torch.tensor([10.0, 2.0]),
    )
    total.add(DocumentLosses(recons=torch.tensor([3.0]), kld=torch.tensor([0.0])), torch.ones(1))
    # Documents: (10 + 2) / 10, (4 + 2) / 2 and (3 + 0) / 1 nats a word.
    assert_close(total.mean(), Losses(total_loss=2.4, recons_loss=2.0, kld=0.4))


def test_documents_without_a_word_count_for_nothing(corpus: Corpus) -> None:
    network = network_of(corpus)
    empty = scipy.sparse.csr_matrix(np.zeros((5, corpus.feature_dim), dtype=np.float32))
    longer = scipy.sparse.vstack([corpus.validation, empty], format="csr")
    assert_close(evaluate(network, longer), evaluate(network, corpus.validation))


def test_the_noise_does_not_depend_on_the_batch_size(corpus: Corpus) -> None:
    small, large = network_of(corpus, mini_batch_size=2), network_of(corpus, mini_batch_size=999)
    assert evaluate(small, corpus.validation) == evaluate(large, corpus.validation)


def test_the_noise_of_a_document_does_not_depend_on_how_documents_are_chunked(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(corpus)
    whole = evaluate(network, corpus.train)
    monkeypatch.setattr(evaluation, "_CHUNK", 7)
    assert_close(evaluate(network, corpus.train), whole)


def test_the_posterior_is_sampled(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(corpus)
    first = evaluate(network, corpus.validation)
    monkeypatch.setattr(evaluation, "EVALUATION_SEED", 1)
    assert evaluate(network, corpus.validation).recons_loss != first.recons_loss


def test_kl_per_document_is_not_divided_by_words(corpus: Corpus) -> None:
    network = network_of(corpus)
    one = corpus.train[:1]
    tokens = float(one.sum())
    per_word = evaluate(network, one).kld
    assert kl_per_document(network, one) == pytest.approx(per_word * tokens, rel=1e-5)
    assert kl_per_document(network, corpus.train) > 0
