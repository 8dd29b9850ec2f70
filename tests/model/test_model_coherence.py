"""NPMI against gensim's, which computes it from texts word by word."""

from __future__ import annotations

import numpy as np
import pytest
from gensim.corpora import Dictionary  # type: ignore[import-untyped]
from gensim.models import CoherenceModel  # type: ignore[import-untyped]
from scipy.sparse import csr_matrix

from ntm_ray.model import CoherenceReference
from ntm_ray.model import coherence as module


def counts_of(documents: int, vocabulary: int, seed: int) -> csr_matrix:
    """Counts in which some words are common, some rare, and each is in a document."""
    random = np.random.default_rng(seed)
    rates = random.gamma(0.5, 0.6, size=vocabulary)
    counts = random.poisson(rates, size=(documents, vocabulary))
    counts[random.integers(0, documents, vocabulary), np.arange(vocabulary)] += 1
    return csr_matrix(counts.astype(np.float32))


def gensim_npmi(counts: csr_matrix, topics: list[list[int]]) -> list[float]:
    texts = [
        [f"w{word}" for word, number in enumerate(row) for _ in range(int(number))]
        for row in counts.toarray()
    ]
    model = CoherenceModel(
        topics=[[f"w{word}" for word in topic] for topic in topics],
        texts=texts,
        dictionary=Dictionary(texts),
        coherence="c_npmi",
        window_size=max(map(len, texts)),
        processes=1,
    )
    return list(model.get_coherence_per_topic())


@pytest.mark.parametrize(("documents", "vocabulary", "words"), [(40, 25, 10), (130, 60, 5)])
def test_npmi_is_gensims_with_whole_documents_as_windows(
    documents: int, vocabulary: int, words: int
) -> None:
    counts = counts_of(documents, vocabulary, seed=documents)
    random = np.random.default_rng(1)
    topics = [random.permutation(vocabulary)[:words].tolist() for _ in range(12)]
    found = CoherenceReference(counts).npmi(topics)
    np.testing.assert_allclose(found, gensim_npmi(counts, topics), atol=1e-6, rtol=0)
    assert found.std() > 0.01


def test_words_that_are_always_and_never_together_are_the_ends_of_the_scale() -> None:
    counts = csr_matrix(np.array([[1, 4, 0], [2, 1, 0], [0, 0, 3], [0, 0, 1]], dtype=np.float32))
    together, apart = CoherenceReference(counts).npmi([[0, 1], [0, 2]])
    assert together == pytest.approx(1)
    assert apart == pytest.approx(-1, abs=0.06)
    assert apart == pytest.approx(gensim_npmi(counts, [[0, 2]])[0], abs=1e-6)


def test_a_word_that_is_in_no_document_is_as_if_it_never_met_another() -> None:
    counts = csr_matrix(np.array([[1, 1, 0], [1, 0, 0]], dtype=np.float32))
    assert CoherenceReference(counts).npmi([[0, 2]]) == [-1]
    assert CoherenceReference(counts[:0]).npmi([[0, 1]]) == [-1]


def test_what_is_kept_of_words_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, topics = counts_of(200, 30, seed=5), [[1, 2, 3, 4], [3, 4, 5, 6], [1, 4, 6, 9]]
    reference = CoherenceReference(counts)
    once = reference.npmi(topics)
    monkeypatch.setattr(module, "_KEPT_BYTES", 100)
    np.testing.assert_array_equal(CoherenceReference(counts).npmi(topics), once)
    np.testing.assert_array_equal(reference.npmi(topics), once)
