"""The unigram loss against values worked out by hand."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ntm_ray.corpus import bars, unigram_loss
from ntm_ray.errors import CorpusError


def counts(rows: list[list[int]]) -> csr_matrix[np.float32]:
    return csr_matrix(np.array(rows, dtype=np.float32).reshape(-1, 3))


def test_it_is_the_mean_over_documents_of_nats_a_word() -> None:
    train = counts([[2, 1, 0], [2, 0, 0]])  # frequencies, plus one: 5/8, 2/8, 1/8
    documents = counts([[1, 0, 0], [0, 3, 1]])
    first, second = -log(5 / 8), -(3 * log(2 / 8) + log(1 / 8)) / 4
    assert unigram_loss(train, documents) == pytest.approx((first + second) / 2, rel=1e-12)


def test_on_equally_frequent_words_it_is_the_logarithm_of_their_number() -> None:
    assert unigram_loss(counts([[7, 7, 7]]), counts([[5, 0, 1]])) == pytest.approx(log(3))


def test_on_bars_no_model_without_topics_can_be_much_better_than_uniform() -> None:
    corpus = bars()
    assert unigram_loss(corpus.train, corpus.validation) == pytest.approx(log(25), abs=0.02)


@pytest.mark.parametrize("documents", [[], [[1, 0, 0], [0, 0, 0]]])
def test_no_document_or_an_empty_one_is_refused(documents: list[list[int]]) -> None:
    with pytest.raises(CorpusError, match="at least one document, and a word in each"):
        unigram_loss(counts([[1, 1, 1]]), counts(documents))
