"""Who says what a model's topics are worth: documents that all models are judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.model.coherence import CoherenceReference
from ntm_ray.model.evaluation import batches, kl_per_document
from ntm_ray.model.measures import MEASURES
from ntm_ray.model.topics import (
    live_topics,
    repeated_words,
    top_numbers,
    topic_diversity,
    topic_uniqueness,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.corpus import Corpus
    from ntm_ray.corpus.counts import Counts
    from ntm_ray.model.network import Network

LEAST_DOCUMENTS = 2000
"""So many validation documents are enough for NPMI."""

_TOP_WORDS = 10
_DIVERSITY_WORDS = 25


class Judge:
    """Documents that models are judged by: those of validation, or of training without any.

    NPMI alone takes those of training too where there are fewer than `LEAST_DOCUMENTS` of
    validation. In few documents hardly any two words meet, unless they are frequent: then topics
    that all are the corpus's mean would be the most coherent (`benchmarks/coherence.py`).

    What depends on the documents alone is worked out once, so that one judge serves many models.

    Args:
        corpus: Where they are from.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._documents: Counts = corpus.validation if corpus.validation.shape[0] else corpus.train
        is_enough = self._documents.shape[0] >= LEAST_DOCUMENTS
        self._reference = CoherenceReference(self._documents if is_enough else corpus.train)

    def topics(self, weights: NDArray[np.float32]) -> dict[str, float]:
        """Return the measures that topics alone decide; no document passes through the network.

        Args:
            weights: ``projection_weight``, ``(vocabulary, topics)``.
        """
        many = top_numbers(weights, _DIVERSITY_WORDS)
        numbers = many[:, :_TOP_WORDS]
        words = numbers.tolist()
        return {
            "topic_uniqueness": topic_uniqueness(words),
            "topic_diversity": topic_diversity(many.tolist()),
            "npmi": float(self._reference.npmi(numbers).mean()),
            "repeated_words": len(repeated_words(words)),
        }

    def measures(self, network: Network) -> dict[str, float]:
        """Return all of `MEASURES` of a model."""
        weights = network.parameters["projection_weight"].cpu().numpy()
        found = {
            "kl_per_document": kl_per_document(network, self._documents),
            **self.topics(weights),
            "live_topics": live_topics(topic_weights(network, self._documents)),
        }
        return {name: found[name] for name in MEASURES}


def topic_weights(network: Network, counts: Counts) -> NDArray[np.float32]:
    """Return the topic weights of documents, ``(documents, topics)``; rows sum to 1."""
    none = np.empty((0, network.hyperparameters.num_topics), np.float32)
    weights = [network.topic_weights(batch).cpu().numpy() for batch in batches(network, counts)]
    return np.concatenate([none, *weights])
