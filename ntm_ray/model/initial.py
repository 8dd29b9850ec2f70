"""What a network starts from: weights and biases as MXNet, under SageMaker NTM, has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.model.clusters import clustered_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from ntm_ray.model.hyperparameters import Hyperparameters

INITIAL_SCALE = 0.07
"""Weights start from Uniform(-0.07, 0.07)."""

_TOGETHER = 1 << 22
_CLUSTER = 0.9
"""The part of a topic that is its group of documents; the rest is the corpus."""

_UNSEEN = 0.5
"""Added to each word's count, so that one without any has a logarithm."""


def initialise(tensors: Mapping[str, NDArray[np.float32]], generator: np.random.Generator) -> None:
    """Set weights to Uniform(-0.07, 0.07), other parameters to 0, running variances to 1.

    Args:
        tensors: Arrays that are written to, by name; in their order, weights are drawn.
        generator: Where they are drawn from.
    """
    for name, values in tensors.items():
        if not name.endswith("_weight"):
            values[...] = 1 if name.endswith("_var") else 0
            continue
        for rows, drawn in drawn_weights(values.shape, generator):
            values[rows] = drawn


def drawn_weights(
    shape: Sequence[int], generator: np.random.Generator
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield the rows of a weight ``(rows, width)`` and what they start from, some at a time."""
    together = max(1, _TOGETHER // shape[1])
    for first in range(0, shape[0], together):
        rows = slice(first, min(first + together, shape[0]))
        drawn = generator.random((rows.stop - first, shape[1]), dtype=np.float32)
        yield rows, (2 * drawn - 1) * np.float32(INITIAL_SCALE)


def decoder_start(
    train: csr_matrix, hyperparameters: Hyperparameters, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return what `decoder_start` adds to the decoder's weight and to its bias, if anything.

    The bias takes the frequencies of words, or where topics are mixed, and there is none, each
    topic. With ``clusters`` a topic is mostly the words of one group of documents.

    Args:
        train: Counts of the training documents.
        hyperparameters: The settings.
        generator: Draws documents to begin groups with.

    Returns:
        ``(vocabulary, topics)`` and ``(vocabulary,)``.
    """
    own, topics = hyperparameters.extensions, hyperparameters.num_topics
    if own.decoder_start == "zero":
        return None
    logarithms = log_frequencies(train)
    weight = np.zeros((len(logarithms), topics), dtype=np.float32)
    if own.decoder_start == "clusters":
        counts = clustered_counts(train, topics, generator).T.astype(np.float64)
        part = counts / np.maximum(counts.sum(axis=0), 1)
        mixed = (1 - _CLUSTER) * np.exp(logarithms)[:, None] + _CLUSTER * part
        weight += (np.log(mixed) - logarithms[:, None]).astype(np.float32)
    if own.decoder == "mixture":
        return weight + logarithms[:, None], np.zeros_like(logarithms)
    return weight, logarithms


def log_frequencies(counts: csr_matrix) -> NDArray[np.float32]:
    """Return the logarithm of each word's part of all tokens, of words that do not occur too."""
    sums = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() + _UNSEEN
    return np.asarray(np.log(sums / sums.sum()), dtype=np.float32)
