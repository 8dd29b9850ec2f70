from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ntm_ray.corpus import Corpus
from ntm_ray.model import Hyperparameters
from ntm_ray.model.cpu import CpuLearner
from ntm_ray.model.memory import CorpusSize, TrainingMemory, training_memory

VOCABULARY, DOCUMENTS = 3000, 40


def estimate(device: str, **changes: Any) -> TrainingMemory:
    settings = {"feature_dim": VOCABULARY, "num_topics": 20, **changes}
    size = CorpusSize(VOCABULARY, DOCUMENTS, DOCUMENTS * 20)
    return training_memory(Hyperparameters.parse(settings), size, device)


@pytest.mark.parametrize("topics", [5, 20, 64])
def test_what_mixed_topics_keep_is_estimated_as_it_is_allocated(topics: int) -> None:
    random = np.random.default_rng(0)
    counts = csr_matrix(random.poisson(0.02, size=(DOCUMENTS, VOCABULARY)))
    corpus = Corpus.from_counts(counts, [f"word{i}" for i in range(VOCABULARY)], validation=counts)
    changes: dict[str, Any] = {"num_topics": topics, "decoder": "mixture"}
    settings = Hyperparameters.parse({"feature_dim": VOCABULARY, **changes})
    made = CpuLearner(settings, corpus, np.random.default_rng(0))
    kept = [made._variant.mixture, made._judging_variant.mixture]
    taken = sum(array.nbytes for mixture in kept for array in mixture)
    estimated = estimate("cpu", **changes).mixture
    # Exponentials by topic are not filled up, as the estimate has it.
    assert 0.75 * estimated < taken < 1.25 * estimated


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_without_mixed_topics_there_is_nothing_of_them(device: str) -> None:
    plain, mixed = estimate(device), estimate(device, decoder="mixture")
    assert plain.mixture == 0
    assert mixed.total - plain.total == mixed.mixture > 0
