"""Document completion: how well one half of a document tells the other.

A bound such as `validation:total_loss` is of words that the encoder has read, so that a model that
explains these, and nothing else, looks good. Here the tokens of each document fall to two halves;
topic weights come from the one, and the likelihood is of the other. Its exponential is the
perplexity a token that topic models are compared by.

Source: Wallach, Murray, Salakhutdinov and Mimno, "Evaluation methods for topic models" (2009),
section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sparse
import torch

from ntm_ray.model.cpu.completion import completed
from ntm_ray.model.cpu.epoch import counts_of
from ntm_ray.model.evaluation import EVALUATION_SEED, batches
from ntm_ray.model.variant_network import VariantNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.corpus.counts import Counts
    from ntm_ray.model.network import Network

    Floats = NDArray[np.float32]

ROUNDS = 3
"""Mixed topics with a Dirichlet prior are judged by weights that were refined as often, at least:
what differs is then the topics, and not how far a model's encoder gets by itself."""

LEAST_COMPLETED = 500
_PART = 20
"""Of validation documents no more are taken than a twentieth as many as there are to train on, but
`LEAST_COMPLETED` at least: they are looked at after every epoch (`benchmarks/coherence.py`)."""


class Completion:
    """Halves of documents that models are judged by; the same whatever the model.

    Args:
        documents: Where they are from, ``(documents, vocabulary)``.
        train: How many documents models train on.

    Attributes:
        seen: What topic weights come from, ``(documents, vocabulary)``.
        judged: The rest of the same documents.
    """

    def __init__(self, documents: Counts, train: int) -> None:
        generator = np.random.default_rng(EVALUATION_SEED)
        most = max(LEAST_COMPLETED, train // _PART)
        chosen = generator.permutation(documents.shape[0])[:most]
        counts = sparse.csr_matrix(documents[np.sort(chosen)], dtype=np.float32)
        drawn = generator.binomial(counts.data.astype(np.int64), 0.5).astype(np.float32)
        parts = [
            sparse.csr_matrix((data, counts.indices, counts.indptr), counts.shape, copy=True)
            for data in (drawn, counts.data - drawn)
        ]
        both = np.logical_and(*(np.asarray(part.sum(axis=1)).ravel() > 0 for part in parts))
        self.seen, self.judged = (part[both] for part in parts)
        for part in (self.seen, self.judged):
            part.eliminate_zeros()

    def nats(self, network: Network) -> float:
        """Return the negative log likelihood of a token of the other halves; NaN without any.

        Args:
            network: The model.
        """
        if self.judged.nnz == 0:
            return float("nan")
        weights = torch.cat([network.encoded_weights(b) for b in batches(network, self.seen)])
        if isinstance(network, VariantNetwork) and network.mixes:
            total = self._mixed(network, weights.cpu().numpy())
        else:
            total, first = 0.0, 0
            for batch in batches(network, self.judged):
                part = weights[first : first + len(batch)]
                total += float(network.reconstruction(batch, part).double().sum())
                first += len(batch)
        return total / float(self.judged.data.sum(dtype=np.float64))

    def _mixed(self, network: VariantNetwork, weights: Floats) -> float:
        own = network.hyperparameters.extensions
        prior = np.zeros(weights.shape[1], np.float32)
        prior[:] = network.concentrations().cpu().numpy()
        return -completed(
            counts_of(self.seen),
            counts_of(self.judged),
            network.mixed_topics().contiguous().cpu().numpy(),
            weights,
            prior,
            max(ROUNDS, own.refines) if own.prior_concentration > 0 else 0,
        )
