"""What a model's topics are in words, and how far they differ."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

_LIVE_SHARE = 1.5
"""Times the equal share ``1 / topics``."""

Word = TypeVar("Word", str, int)
"""A word: itself, or its number."""


def word_probabilities(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each topic's distribution over words, ``(topics, vocabulary)``; rows sum to 1.

    It is the softmax over the vocabulary of the topic's column of the projection's weights, as
    in SageMaker's own notebook; the projection's bias, shared by all topics, stays out.

    Args:
        weights: ``projection_weight``, ``(vocabulary, topics)``.
    """
    exp = np.exp(weights.T - weights.max(axis=0)[:, None])
    return np.asarray(exp / exp.sum(axis=1, keepdims=True))


def top_words(
    weights: NDArray[np.float32], vocabulary: Sequence[str], words: int = 10
) -> list[list[str]]:
    """Return the most probable words of each topic, most probable first.

    Args:
        weights: ``projection_weight``, ``(vocabulary, topics)``.
        vocabulary: The word of each row.
        words: Words a topic; all of them where the vocabulary is smaller. Of words of the same
            weight the earlier one comes first.
    """
    return [[vocabulary[word] for word in topic] for topic in top_numbers(weights, words)]


def top_numbers(weights: NDArray[np.float32], words: int = 10) -> NDArray[np.int64]:
    """Return the numbers of the words of :func:`top_words`, ``(topics, words)``."""
    if words >= len(weights):
        return np.argsort(-weights, axis=0, kind="stable").T
    # Sorting a whole vocabulary takes longer than all else that is done with top words.
    least = -np.partition(-weights, words - 1, axis=0)[words - 1]
    topics = []
    for topic, bound in zip(weights.T, least, strict=True):
        among = np.flatnonzero(topic >= bound)
        topics.append(among[np.argsort(-topic[among], kind="stable")[:words]])
    return np.stack(topics)


def topic_uniqueness(topics: Sequence[Sequence[Hashable]]) -> float:
    """Return the topic uniqueness (TU) of topics given by their top words.

    A word counts one over the number of topics it is in; a topic's uniqueness is the mean over
    its words, the model's the mean over its topics. It is 1 where no two topics share a word
    and ``1 / topics`` where all are the same. Source: Nan et al., "Topic Modeling with
    Wasserstein Autoencoders" (2019), section 4.2; SageMaker NTM logs the same number.
    """
    shared = Counter(word for topic in topics for word in set(topic))
    of_topics = [sum(1 / shared[word] for word in topic) / len(topic) for topic in topics]
    return sum(of_topics) / len(of_topics)


def topic_diversity(topics: Sequence[Sequence[Hashable]]) -> float:
    """Return the topic diversity (TD) of topics given by their top words.

    It is the number of different words over the number of all. Source: Dieng, Ruiz and Blei,
    "Topic Modeling in Embedding Spaces" (2020), section 6, who take 25 words of each topic.
    """
    words = [word for topic in topics for word in topic]
    return len(set(words)) / len(words)


def repeated_words(topics: Sequence[Sequence[Word]]) -> dict[Word, int]:
    """Return the words that are in several topics, with their number of topics, most first."""
    shared = Counter(word for topic in topics for word in set(topic))
    several = [(word, number) for word, number in shared.items() if number > 1]
    return dict(sorted(several, key=lambda pair: (-pair[1], pair[0])))


def live_topics(weights: NDArray[np.float32]) -> int:
    """Return how many topics have half more than an equal share of at least one document.

    Of a posterior that has collapsed none has, since all documents get the same weights; a topic
    that no document uses has not either.

    Args:
        weights: The encoder's, ``(documents, topics)``; rows sum to 1.
    """
    if not len(weights):
        return 0
    return int((weights.max(axis=0) >= _LIVE_SHARE / weights.shape[1]).sum())
