"""What a model's topics are in words, and how far they differ."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


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
    order = np.argsort(-weights, axis=0, kind="stable")[:words]
    return [[vocabulary[word] for word in column] for column in order.T]


def topic_uniqueness(topics: Sequence[Sequence[str]]) -> float:
    """Return the topic uniqueness (TU) of topics given by their top words.

    A word counts one over the number of topics it is in; a topic's uniqueness is the mean over
    its words, the model's the mean over its topics. It is 1 where no two topics share a word
    and ``1 / topics`` where all are the same. Source: Nan et al., "Topic Modeling with
    Wasserstein Autoencoders" (2019), section 4.2; SageMaker NTM logs the same number.
    """
    shared = Counter(word for topic in topics for word in set(topic))
    of_topics = [sum(1 / shared[word] for word in topic) / len(topic) for topic in topics]
    return sum(of_topics) / len(of_topics)
