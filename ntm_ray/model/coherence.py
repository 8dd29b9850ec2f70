"""How well the top words of topics go together in documents: NPMI.

With p(w) the part of the documents that hold the word w, and p(v, w) of those that hold both::

    npmi(v, w) = log((p(v, w) + 1e-12) / (p(v) p(w))) / -log(p(v, w) + 1e-12)

A topic's coherence is the mean over all pairs of its top words. This is gensim's ``c_npmi`` with
documents as windows, that is with a ``window_size`` of at least the longest document: all that
counts can tell, since they do not say which words stand close to each other. Source: Bouma,
"Normalized (Pointwise) Mutual Information in Collocation Extraction" (2009); as a measure of
topics, Röder, Both and Hinneburg, "Exploring the Space of Topic Coherence Measures" (2015).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_EPSILON = 1e-12
_KEPT_BYTES = 1 << 26
_BITS = 64


class CoherenceReference:
    """Documents that say which words go together.

    What depends on the documents alone is worked out once: which documents each word is in. For
    the words that were asked about that is kept as a bit a document, so that to count the
    documents of a pair is to count the bits that two rows share.

    Args:
        counts: Counts of the documents, ``(documents, vocabulary)``.
    """

    def __init__(self, counts: csr_matrix) -> None:
        self._documents = counts.shape[0]
        by_word = counts.tocsc()
        self._starts, self._owners = by_word.indptr, by_word.indices
        self._width = -(-self._documents // _BITS) * _BITS
        self._bits: dict[int, NDArray[np.uint64]] = {}

    def npmi(self, topics: Sequence[Sequence[int]] | NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the coherence of each topic, from -1 to 1, ``(topics,)``.

        A pair of which a word is in no document counts -1, the limit for words that never meet.

        Args:
            topics: The top words of each topic by their numbers, the same number for each. With
                fewer than two there is no pair, and the coherence is 0.
        """
        words = np.asarray(topics, dtype=np.int64)
        first, second = np.triu_indices(words.shape[1], 1)
        if len(first) == 0:
            return np.zeros(len(words))
        held = np.diff(self._starts)[words]
        both = np.stack([self._shared(topic, first, second) for topic in words])
        documents = max(1, self._documents)
        apart = held[:, first] / documents * (held[:, second] / documents)
        together = both / documents + _EPSILON
        known = apart > 0
        ratio = np.log(together / np.where(known, apart, 1)) / -np.log(together)
        return np.asarray(np.where(known, ratio, -1.0).mean(axis=1))

    def _shared(
        self, words: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return in how many documents both words of each pair are, ``(pairs,)``."""
        bits = np.stack([self._documents_of(int(word)) for word in words])
        shared = np.bitwise_count(bits[first] & bits[second])
        return np.asarray(shared.sum(axis=1, dtype=np.int64))

    def _documents_of(self, word: int) -> NDArray[np.uint64]:
        found = self._bits.get(word)
        if found is None:
            holds = np.zeros(self._width, dtype=np.bool_)
            holds[self._owners[self._starts[word] : self._starts[word + 1]]] = True
            found = np.packbits(holds).view(np.uint64)
            if len(self._bits) * found.nbytes >= _KEPT_BYTES:
                self._bits.clear()
            self._bits[word] = found
        return found
