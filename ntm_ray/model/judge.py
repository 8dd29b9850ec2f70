"""Who says what a model's topics are worth: documents that all models are judged by."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.model.coherence import CoherenceReference
from ntm_ray.model.completion import Completion
from ntm_ray.model.evaluation import batches, kl_per_document
from ntm_ray.model.evidence import TOP_WORDS
from ntm_ray.model.measures import MEASURES
from ntm_ray.model.topics import (
    live_topics,
    repeated_words,
    top_numbers,
    topic_diversity,
    topic_uniqueness,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from numpy.typing import NDArray

    from ntm_ray.corpus import Corpus
    from ntm_ray.corpus.counts import Counts
    from ntm_ray.model.batch import Batch
    from ntm_ray.model.inference import Inference
    from ntm_ray.model.network import Network
    from ntm_ray.model.variant_network import VariantNetwork

LEAST_DOCUMENTS = 2000
"""So many validation documents are enough for NPMI."""

_DIVERSITY_WORDS = 25


class Judge:
    """Documents that models are judged by: those of validation, or of training without any.

    NPMI alone takes those of training too where there are fewer than `LEAST_DOCUMENTS` of
    validation. In few documents hardly any two words meet, unless they are frequent: then topics
    that all are the corpus's mean would be the most coherent (`benchmarks/coherence.py`).

    What depends on the documents alone is worked out once, so that one judge serves many models.

    Args:
        corpus: Where they are from.

    Attributes:
        documents: They themselves, ``(documents, vocabulary)``.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.documents: Counts = corpus.validation if corpus.validation.shape[0] else corpus.train
        self._train = corpus.train.shape[0]
        is_enough = self.documents.shape[0] >= LEAST_DOCUMENTS
        self._reference = CoherenceReference(self.documents if is_enough else corpus.train)

    @cached_property
    def _completion(self) -> Completion:
        return Completion(self.documents, self._train)

    def completion(self, network: Network) -> float:
        """Return how well halves of documents tell the others: nats a token.

        See :mod:`ntm_ray.model.completion`.
        """
        return self._completion.nats(network)

    def inference(self, network: VariantNetwork) -> Inference | None:
        """Return how the model completes documents best, if its weights are refined at all."""
        return self._completion.inference(network)

    def topics(self, weights: NDArray[np.float32]) -> dict[str, float]:
        """Return the measures that topics alone decide; no document passes through the network.

        Args:
            weights: ``projection_weight``, ``(vocabulary, topics)``.
        """
        many = top_numbers(weights, _DIVERSITY_WORDS)
        numbers = many[:, :TOP_WORDS]
        words = numbers.tolist()
        return {
            "topic_uniqueness": topic_uniqueness(words),
            "topic_diversity": topic_diversity(many.tolist()),
            "npmi": float(self._reference.npmi(numbers).mean()),
            "repeated_words": len(repeated_words(words)),
        }

    def measures(
        self, network: Network, of_documents: NDArray[np.float32] | None = None
    ) -> dict[str, float]:
        """Return all of `MEASURES` of a model.

        Args:
            network: The model.
            of_documents: What :func:`encoded_weights` returns for the documents, where it is known
                already.
        """
        weights = network.parameters["projection_weight"].cpu().numpy()
        if of_documents is None:
            of_documents = encoded_weights(network, self.documents)
        found = {
            "kl_per_document": kl_per_document(network, self.documents),
            "completion": self.completion(network),
            **self.topics(weights),
            "live_topics": live_topics(of_documents),
        }
        return {name: found[name] for name in MEASURES}


def topic_weights(network: Network, counts: Counts) -> NDArray[np.float32]:
    """Return the topic weights of documents, ``(documents, topics)``; rows sum to 1."""
    return _of_all(network, network.topic_weights, counts)


def encoded_weights(network: Network, counts: Counts) -> NDArray[np.float32]:
    """Return those that the encoder gives: of a posterior that has collapsed, all the same."""
    return _of_all(network, network.encoded_weights, counts)


def _of_all(
    network: Network, weigh: Callable[[Batch], torch.Tensor], counts: Counts
) -> NDArray[np.float32]:
    none = np.empty((0, network.hyperparameters.num_topics), np.float32)
    return np.concatenate([none, *(weigh(b).cpu().numpy() for b in batches(network, counts))])
