"""Losses over documents: nats a word, each document counting the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ntm_ray.model.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from ntm_ray.model.network import DocumentLosses, Network

EVALUATION_SEED = 5_111_987
"""Of the noise that all validation documents are evaluated with."""

_CHUNK = 1024


@dataclass(frozen=True)
class Losses:
    """Means over documents of nats a word: each document's nats divided by its own tokens.

    This is how SageMaker's container reports a loss; ``exp(total_loss)`` is the bound on the
    perplexity a document. Documents without a word count for nothing.

    Attributes:
        total_loss: ``recons_loss + kld``, the negative of the evidence lower bound.
        recons_loss: Negative log likelihood of the words.
        kld: KL divergence of the posterior from the prior.
    """

    total_loss: float
    recons_loss: float
    kld: float


class LossSum:
    """Adds up the losses of batches, and waits for the device only at the end."""

    def __init__(self) -> None:
        self._batches: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def add(self, losses: DocumentLosses, tokens: torch.Tensor) -> None:
        """Take the losses in nats and the number of tokens of some more documents."""
        self._batches.append((losses.recons, losses.kld, tokens))

    def mean(self) -> Losses:
        """Return the mean over all documents that have words (NaN where there are none)."""
        recons, kld, tokens = (
            torch.cat(parts).cpu().double() for parts in zip(*self._batches, strict=True)
        )
        known = tokens > 0
        per_word = torch.where(known, 1 / tokens, 0)
        sums = torch.stack([(recons * per_word).sum(), (kld * per_word).sum(), known.sum()])
        recons_loss, kld_loss = (sums[:2] / sums[2]).tolist()
        return Losses(recons_loss + kld_loss, recons_loss, kld_loss)


def evaluate(network: Network, counts: csr_matrix) -> Losses:
    """Return the losses of all documents, one posterior sample for each.

    The sample's noise comes from a fixed seed and depends on the document's place alone, so
    that epochs, trials, batch sizes and devices are compared on the same noise.

    Args:
        network: The model.
        counts: The documents ``(documents, vocabulary)``.
    """
    return losses_of(network, noisy_batches(network, counts))


def noisy_batches(network: Network, counts: csr_matrix) -> Iterator[tuple[Batch, torch.Tensor]]:
    """Yield `counts` in batches for :func:`evaluate`, each with its noise."""
    generator = np.random.default_rng(EVALUATION_SEED)
    topics = network.hyperparameters.num_topics
    for batch in batches(network, counts):
        noise = generator.standard_normal((len(batch), topics), dtype=np.float32)
        yield batch, torch.from_numpy(noise).to(network.device, network.dtype)


def losses_of(network: Network, pairs: Iterable[tuple[Batch, torch.Tensor]]) -> Losses:
    """Return the losses of batches with their noise."""
    total = LossSum()
    for batch, noise in pairs:
        total.add(network.losses(batch, noise), batch.tokens)
    return total.mean()


def document_losses(network: Network, counts: csr_matrix) -> NDArray[np.float64]:
    """Return the total loss of each document, nats a word, ``(documents,)``; see `evaluate`.

    Args:
        network: The model.
        counts: The documents ``(documents, vocabulary)``, each with a word.
    """
    found = []
    for batch, noise in noisy_batches(network, counts):
        losses = network.losses(batch, noise)
        found.append(((losses.recons + losses.kld) / batch.tokens).cpu().double().numpy())
    return np.concatenate(found)


def kl_per_document(network: Network, counts: csr_matrix) -> float:
    """Return the mean KL divergence of a document in nats (not a word).

    Near zero the posterior has collapsed onto the prior: topics say nothing about documents.
    """
    sums = [
        network.kl_divergence(*network.posterior(batch)).sum()
        for batch in batches(network, counts)
    ]
    return float(torch.stack(sums).cpu().double().sum()) / counts.shape[0]


def batches(network: Network, counts: csr_matrix) -> Iterator[Batch]:
    """Yield `counts` ``(documents, vocabulary)`` in order, for evaluation by `network`."""
    for start in range(0, counts.shape[0], _CHUNK):
        rows = counts[start : start + _CHUNK]
        yield Batch.of(rows, dtype=network.dtype, device=network.device)
