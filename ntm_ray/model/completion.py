"""Document completion: how well one half of a document tells the other.

A bound such as `validation:total_loss` is of words that the encoder has read, so that a model that
explains these, and nothing else, looks good. Here the tokens of each document fall to two halves;
topic weights come from the one, and the likelihood is of the other. Its exponential is the
perplexity a token that topic models are compared by.

Source: Wallach, Murray, Salakhutdinov and Mimno, "Evaluation methods for topic models" (2009),
section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sparse
import torch

from ntm_ray.model.cpu.epoch import counts_of
from ntm_ray.model.cpu.inference import completed
from ntm_ray.model.evaluation import EVALUATION_SEED, batches
from ntm_ray.model.inference import ROUNDS, SIZES, Inference
from ntm_ray.model.variant_network import VariantNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from ntm_ray.corpus import counts
    from ntm_ray.model.cpu.epoch import Counts
    from ntm_ray.model.network import Network

    Floats = NDArray[np.float32]

LEAST_COMPLETED = 500
_PART = 20
"""Of validation documents no more are taken than a twentieth as many as there are to train on, but
`LEAST_COMPLETED` at least: they are looked at after every epoch (`benchmarks/coherence.py`)."""

_TRIED = 5_000
"""How weights are inferred is settled by documents, drawn at random, until their seen halves hold
so many words: different ones of each document, added up."""


class Completion:
    """Halves of documents that models are judged by; the same whatever the model.

    Args:
        documents: Where they are from, ``(documents, vocabulary)``.
        train: How many documents models train on.

    Attributes:
        seen: What topic weights come from, ``(documents, vocabulary)``.
        judged: The rest of the same documents.
    """

    def __init__(self, documents: counts.Counts, train: int) -> None:
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

        order = generator.permutation(self.seen.shape[0])
        words = np.cumsum(np.diff(self.seen.indptr)[order])
        self._tried = order[: np.searchsorted(words, _TRIED) + 1]
        self._halves = counts_of(self.seen), counts_of(self.judged)
        tried = (part[self._tried] for part in (self.seen, self.judged))
        self._tried_halves = tuple(counts_of(part) for part in tried)

    def inference(self, network: VariantNetwork) -> Inference | None:
        """Return the way to infer topic weights that completes documents best.

        Args:
            network: The model.

        Returns:
            None for models whose weights are never refined. Where no document has two halves,
            without rounds.
        """
        if not network.hyperparameters.extensions.refinable:
            return None
        if self.judged.nnz == 0:
            return Inference(0, SIZES[0])
        return _best(_Mixed.of(network, self.seen[self._tried]), *self._tried_halves)

    def nats(self, network: Network) -> float:
        """Return the negative log likelihood of a token of the other halves; NaN without any.

        Where topics are mixed with a Dirichlet prior, weights are inferred as the network says; if
        it does not, as :meth:`inference` would, so that models are compared by what they will give
        out once they are done.

        Args:
            network: The model.
        """
        if self.judged.nnz == 0:
            return float("nan")
        if isinstance(network, VariantNetwork) and network.mixes:
            total = -self._mixed(network)
        else:
            weights = _encoded(network, self.seen)
            total, first = 0.0, 0
            for batch in batches(network, self.judged):
                part = weights[first : first + len(batch)]
                total += float(network.reconstruction(batch, part).cpu().double().sum())
                first += len(batch)
        return total / float(self.judged.data.sum(dtype=np.float64))

    def _mixed(self, network: VariantNetwork) -> float:
        mixed, how = _Mixed.of(network, self.seen), network.inference or Inference(0, SIZES[0])
        if network.hyperparameters.extensions.refinable and network.inference is None:
            tried = replace(mixed, weights=mixed.weights[self._tried])
            how = _best(tried, *self._tried_halves)
        return float(mixed.completed(*self._halves, how)[-1])


@dataclass(frozen=True)
class _Mixed:
    """What documents are completed by where topics are mixed.

    Attributes:
        topics: Probabilities of words, ``(vocabulary, topics)``.
        weights: The encoder's, of the halves that are seen, ``(documents, topics)``.
        prior: The mean of the prior, ``(topics,)``.
        size: Sum of its concentrations in training.
    """

    topics: Floats
    weights: Floats
    prior: Floats
    size: float

    @classmethod
    def of(cls, network: VariantNetwork, seen: csr_matrix) -> _Mixed:
        return cls(
            topics=network.mixed_topics().contiguous().cpu().numpy(),
            weights=_encoded(network, seen).cpu().numpy(),
            prior=network.prior_weights().cpu().numpy(),
            size=float(network.prior_in_training().sum().float()),  # as it is saved
        )

    def completed(
        self, seen: Counts, judged: Counts, how: Inference, *, each: bool = False
    ) -> NDArray[np.float64]:
        """Return log likelihoods of the other halves after 0, 1, ... rounds.

        Only the last is worked out unless it is to be `each`.
        """
        prior = np.float32(how.size) * self.prior
        return completed(seen, judged, self.topics, self.weights, prior, how.rounds, each)


def _best(mixed: _Mixed, seen: Counts, judged: Counts) -> Inference:
    """Return the way to infer that completes documents best; of equal ones, the fewest rounds."""
    ways = [Inference(ROUNDS, size) for size in (*SIZES, mixed.size)]
    fits = np.array([mixed.completed(seen, judged, way, each=True) for way in ways])
    best, rounds = np.unravel_index(np.nan_to_num(fits, nan=-np.inf).argmax(), fits.shape)
    return Inference(int(rounds), ways[int(best)].size)


def _encoded(network: Network, seen: csr_matrix) -> torch.Tensor:
    return torch.cat([network.encoded_weights(batch) for batch in batches(network, seen)])
