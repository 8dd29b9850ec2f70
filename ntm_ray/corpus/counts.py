"""Count matrices: one canonical form, documents without a word left out, a seeded split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix, issparse

from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Counts: TypeAlias = csr_matrix[np.float32]


def checked_vocabulary(vocabulary: Iterable[str], where: str) -> tuple[str, ...]:
    """Checks that words are text on one line, not empty, and all different.

    Args:
        vocabulary: the words.
        where: begins the message of an error and is followed by the word's number, from 1.

    Raises:
        CorpusError: a word is not as described.
    """
    numbers: dict[str, int] = {}
    for number, word in enumerate(vocabulary, start=1):
        if not isinstance(word, str) or not word or "\n" in word or "\r" in word:
            raise CorpusError(
                f"{where} {number}: {word!r} is no word; a word is text, not empty, on one line"
            )
        if word in numbers:
            raise CorpusError(
                f"{where} {number}: {word!r} is word {numbers[word]} already; "
                "each word must occur once"
            )
        numbers[word] = number
    return tuple(numbers)


def canonical_counts(counts: Any, feature_dim: int, where: str) -> Counts:
    """Checks `counts` and brings it into the form that the whole package relies on.

    Args:
        counts: any scipy sparse matrix or array, or a dense array, (documents, vocabulary).
        feature_dim: the size of the vocabulary.
        where: begins the message of an error: source and partition.

    Returns:
        A new CSR matrix with float32 data, int32 indices, indices sorted within a row, duplicates
        summed and no explicit zeros. `counts` is not changed.

    Raises:
        CorpusError: `counts` is not 2-D, has another number of columns than the vocabulary has
            words, or holds a value that is not a finite, non-negative number.
    """
    if not issparse(counts):
        counts = np.asarray(counts)
    if counts.ndim != 2:
        raise CorpusError(
            f"{where}: counts have {counts.ndim} dimension(s), not 2: (documents, vocabulary)"
        )
    if counts.shape[1] != feature_dim:
        raise CorpusError(
            f"{where}: counts have {counts.shape[1]} columns, "
            f"but the vocabulary has {feature_dim} words; they must be equal"
        )
    try:
        # Duplicates are summed in float64, so that the sum does not depend on their order.
        exact = csr_matrix(counts, dtype=np.float64, copy=True)
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{where}: counts of type {counts.dtype} are not numbers") from error
    exact.sum_duplicates()
    exact.eliminate_zeros()
    if exact.nnz > np.iinfo(np.int32).max:
        raise CorpusError(f"{where}: {exact.nnz} non-zero counts; at most 2**31 - 1 fit")
    with np.errstate(over="ignore"):
        data = exact.data.astype(np.float32)
    wrong = np.flatnonzero(~(np.isfinite(data) & (data > 0)))
    if wrong.size:
        entry = int(wrong[0])
        document = int(np.searchsorted(exact.indptr, entry, side="right")) - 1
        raise CorpusError(
            f"{where}: document {document}, word {int(exact.indices[entry])}: "
            f"count {exact.data[entry]:g} is not a finite, non-negative number"
        )
    canonical: Counts = csr_matrix(
        (data, exact.indices.astype(np.int32), exact.indptr.astype(np.int32)), shape=exact.shape
    )
    canonical.has_canonical_format = True
    return canonical


def without_empty_documents(counts: Counts) -> tuple[Counts, int]:
    """Leaves out the documents without a word; returns the rest and how many were left out."""
    words = np.diff(counts.indptr)
    empty = int((words == 0).sum())
    return (counts[words > 0] if empty else counts), empty


def split_off(
    documents: int, fraction: float, seed: int, where: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draws the documents of a validation partition.

    Args:
        documents: how many there are to draw from.
        fraction: the part to split off, in [0, 1); at least one document, unless it is 0.
        seed: same seed, same split.
        where: begins the message of an error: source and partition.

    Returns:
        The indices that stay and the indices split off, each in ascending order.

    Raises:
        CorpusError: `fraction` is out of range, or no training document would be left.
    """
    if not 0 <= fraction < 1:
        raise CorpusError(f"{where}: validation_fraction {fraction} is not in [0, 1)")
    size = max(1, round(fraction * documents)) if fraction > 0 else 0
    if size >= documents:
        raise CorpusError(
            f"{where}: {documents} document(s) with a word are too few to split off {size} for "
            "validation; give more documents, a validation partition or validation_fraction 0"
        )
    order = np.random.default_rng(seed).permutation(documents)
    return np.sort(order[size:]), np.sort(order[:size])
