from __future__ import annotations

import numpy as np
import pytest
import torch

from ntm_ray.corpus import Corpus

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """70 training and 23 validation documents of 40 words, of very different lengths."""
    random = np.random.default_rng(7)
    length = random.integers(1, 30, size=(93, 1))
    words = random.dirichlet(np.full(40, 0.2), size=93)
    counts = random.poisson(length * words)
    counts[np.arange(93), random.integers(0, 40, size=93)] += 1
    vocabulary = [f"word{i}" for i in range(40)]
    return Corpus.from_counts(counts[:70], vocabulary, validation=counts[70:])
