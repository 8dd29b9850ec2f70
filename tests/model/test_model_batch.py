from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from ntm_ray.model.batch import Batch

CPU = torch.device("cpu")


@settings(deadline=None)  # the first example waits for the compiler
@given(seed=st.integers(0, 10_000), documents=st.integers(1, 8), words=st.integers(1, 12))
def test_a_gathered_batch_is_the_one_that_scipy_cuts_out(
    seed: int, documents: int, words: int
) -> None:
    random = np.random.default_rng(seed)
    counts = csr_matrix(random.poisson(0.4, size=(documents, words)), dtype=np.float32)
    chosen = random.integers(0, documents, size=random.integers(1, 9))
    found = Batch.gathered(counts, chosen, device=CPU)
    expected = Batch.of(counts[chosen], dtype=torch.float32, device=CPU, transposed=True)
    dense = torch.from_numpy(random.standard_normal((words, 3), dtype=np.float32))
    assert torch.equal(found.tokens, expected.tokens)
    assert torch.equal(found.counts @ dense, expected.counts @ dense)
    assert found.transposed is not None
    assert expected.transposed is not None
    assert torch.equal(found.transposed.words, expected.transposed.words)
    by_document = torch.from_numpy(random.standard_normal((len(chosen), 3), dtype=np.float32))
    assert torch.equal(found.transposed.rows @ by_document, expected.transposed.rows @ by_document)
