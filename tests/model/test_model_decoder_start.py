from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ntm_ray.corpus import Corpus
from ntm_ray.model import Hyperparameters
from ntm_ray.model.clusters import clustered_counts
from ntm_ray.model.cpu import CpuLearner
from ntm_ray.model.initial import log_frequencies
from tests.model.device_training import device_training


def two_kinds(documents: int = 40) -> csr_matrix:
    """Documents of words 0 to 4, and of words 5 to 9, and a word 10 that all have."""
    random = np.random.default_rng(2)
    counts = np.zeros((documents, 11), dtype=np.float32)
    for row, kind in zip(counts, random.permutation(documents) % 2, strict=True):
        row[5 * kind : 5 * kind + 5] = 1 + random.poisson(1, size=5)
        row[10] = 1
    return csr_matrix(counts)


def tensors_of(counts: csr_matrix, **changes: Any) -> dict[str, Any]:
    corpus = Corpus.from_counts(counts, [f"word{i}" for i in range(counts.shape[1])])
    settings = {"feature_dim": counts.shape[1], "num_topics": 2, **changes}
    learner = CpuLearner(Hyperparameters.parse(settings), corpus, np.random.default_rng(0))
    return {name: tensor.numpy() for name, tensor in learner.tensors().items()} | {
        "logarithms": log_frequencies(corpus.train)
    }


@pytest.mark.parametrize("seed", range(5))
def test_like_documents_come_into_one_group(seed: int) -> None:
    counts = two_kinds()
    found = clustered_counts(counts, 2, np.random.default_rng(seed))
    np.testing.assert_array_equal(found.sum(axis=0), np.asarray(counts.sum(axis=0)).ravel())
    assert sorted((group[:5].sum() > 0, group[5:10].sum() > 0) for group in found) == [
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_senders_whose_names_are_rare_do_not_part_documents_of_one_subject(seed: int) -> None:
    random, subjects = np.random.default_rng(4), two_kinds(400).toarray()
    senders = np.repeat(np.eye(50, dtype=np.float32), 8, axis=0)[random.permutation(400)]
    counts = csr_matrix(np.hstack([subjects, *[senders] * 20]))
    found = clustered_counts(counts, 2, np.random.default_rng(seed))
    assert sorted(tuple(group[[0, 5]] > 0) for group in found) == [(False, True), (True, False)]


def test_more_groups_than_documents_leave_some_empty() -> None:
    found = clustered_counts(two_kinds(4), 9, np.random.default_rng(0))
    assert found.shape == (9, 11)
    assert (found.sum(axis=1) > 0).sum() <= 4


def test_the_frequencies_of_words_go_into_the_bias_or_into_each_topic() -> None:
    product = tensors_of(two_kinds(), decoder_start="frequencies")
    assert np.exp(product["logarithms"]).sum() == pytest.approx(1, rel=1e-5)
    np.testing.assert_array_equal(product["projection_bias"], product["logarithms"])
    assert np.abs(product["projection_weight"]).max() <= 0.07
    mixture = tensors_of(two_kinds(), decoder_start="frequencies", decoder="mixture")
    from_start = mixture["projection_weight"] - mixture["logarithms"][:, None]
    assert np.abs(from_start).max() <= 0.0701
    assert not mixture["projection_bias"].any()


@pytest.mark.parametrize("decoder", ["product", "mixture"])
def test_topics_that_start_from_groups_are_apart_at_once(decoder: str) -> None:
    tensors = tensors_of(two_kinds(), decoder_start="clusters", decoder=decoder)
    weight = tensors["projection_weight"] + tensors["projection_bias"][:, None]
    tops = sorted(tuple(sorted(np.argsort(-topic)[:6])) for topic in weight.T)
    assert tops == [(0, 1, 2, 3, 4, 10), (5, 6, 7, 8, 9, 10)]


def test_the_learner_of_accelerators_starts_from_the_same(corpus: Corpus) -> None:
    changes: dict[str, Any] = {"decoder": "mixture", "decoder_start": "clusters"}
    run = device_training(corpus, **changes)
    other = CpuLearner(run.hyperparameters, corpus, np.random.default_rng(0))
    for name, tensor in run._learner.tensors().items():
        np.testing.assert_allclose(other.tensors()[name], tensor, rtol=1e-6, atol=1e-6)
