"""Groups of like documents, which topics can start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_MOST_DOCUMENTS = 20_000
_ROUNDS = 12
_COMMON = 0.05
"""A word in a smaller part of documents weighs less: the rarest tell senders, not subjects."""


def clustered_counts(
    counts: csr_matrix, clusters: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return the counts of words in each of some groups of documents, ``(clusters, vocabulary)``.

    Spherical k-means on ``log(1 + count)`` times the logarithm of a word's rarity, less where it
    is in fewer than a part `_COMMON` of documents, begun from documents far from each other
    (Arthur and Vassilvitskii 2007: k-means++). Of a large corpus `_MOST_DOCUMENTS` are drawn.

    Args:
        counts: Documents, ``(documents, vocabulary)``.
        clusters: How many groups; some are empty if there are fewer kinds of documents.
        generator: Draws documents.
    """
    if counts.shape[0] > _MOST_DOCUMENTS:
        drawn = generator.choice(counts.shape[0], _MOST_DOCUMENTS, replace=False)
        counts = counts[np.sort(drawn)]
    documents = counts.shape[0]
    unit = _unit_vectors(counts)
    centres = unit[_far_apart(unit, clusters, generator)].toarray()
    for _ in range(_ROUNDS):
        nearest = (unit @ centres.T).argmax(axis=1)
        of_cluster = sparse.csr_matrix(
            (np.ones(documents, np.float32), (nearest, np.arange(documents))),
            shape=(clusters, documents),
        )
        centres = (of_cluster @ unit).toarray()
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    return np.asarray((of_cluster @ counts).toarray(), dtype=np.float32)


def _unit_vectors(counts: csr_matrix) -> csr_matrix:
    held = np.bincount(counts.indices, minlength=counts.shape[1])
    rarity = np.log((counts.shape[0] + 1) / (held + 1))
    weight = (rarity * np.minimum(1, held / (_COMMON * counts.shape[0]))).astype(np.float32)
    values = np.log1p(counts.data) * weight[counts.indices]
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    squares = np.bincount(rows, weights=values.astype(np.float64) ** 2, minlength=counts.shape[0])
    length = np.maximum(np.sqrt(squares), 1e-9).astype(np.float32)
    return sparse.csr_matrix((values / length[rows], counts.indices, counts.indptr), counts.shape)


def _far_apart(unit: csr_matrix, number: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw documents, each the likelier the farther it is from those drawn before."""
    chosen = [int(generator.integers(unit.shape[0]))]
    likeness = np.zeros(unit.shape[0], dtype=np.float64)
    for _ in range(number - 1):
        last = unit[chosen[-1]].toarray().ravel()
        likeness = np.maximum(likeness, unit @ last)
        distance = np.maximum(1 - likeness, 1e-9)
        chosen.append(int(generator.choice(unit.shape[0], p=distance / distance.sum())))
    return np.array(chosen)
