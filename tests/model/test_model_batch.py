from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from ntm_ray.model.batch import Batch

CPU = torch.device("cpu")


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), documents=st.integers(1, 90), words=st.integers(1, 12))
def test_products_with_counts_and_their_transpose_are_those_of_dense_matrices(
    seed: int, documents: int, words: int
) -> None:
    # More documents than a piece takes: frequent words are added up in pieces.
    random = np.random.default_rng(seed)
    dense = random.poisson(random.choice([0.1, 3.0]), size=(documents, words))
    counts = csr_matrix(dense, dtype=np.float32)
    batch = Batch.of(counts, dtype=torch.float64, device=CPU, transposed=True)
    by_word = torch.from_numpy(random.standard_normal((words, 3)))
    by_document = torch.from_numpy(random.standard_normal((documents, 3)))
    expected = torch.from_numpy(dense).double()
    torch.testing.assert_close(batch.counts @ by_word, expected @ by_word)
    torch.testing.assert_close(batch.for_training @ by_document, expected.T @ by_document)
    torch.testing.assert_close(batch.tokens, expected.sum(dim=1))
