"""Documents that lie in a mapped file: asked for ahead of their use, where that helps.

A batch reads documents from all over a corpus. Left to itself, the system answers each first
touch of a page by reading its neighbourhood too, which nobody asked for, and one after the other.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.corpus.counts import Counts


class MappedDocuments:
    """The documents of a count matrix, some of whose arrays may lie in a mapped file.

    Args:
        counts: The matrix ``(documents, vocabulary)``.
    """

    def __init__(self, counts: Counts) -> None:
        self._starts = counts.indptr
        found = (_mapping(array) for array in (counts.indices, counts.data))
        self._mappings = [mapping for mapping in found if mapping is not None]
        if hasattr(mmap, "MADV_RANDOM"):
            for mapping, _, _ in self._mappings:
                mapping.madvise(mmap.MADV_RANDOM)

    @property
    def in_file(self) -> bool:
        """Whether there is anything to ask for."""
        return bool(self._mappings) and hasattr(mmap, "MADV_WILLNEED")

    def ask_for(self, documents: NDArray[np.int64]) -> None:
        """Have the system begin to read `documents`, and do not wait for it."""
        if not self.in_file or not len(documents):
            return
        for mapping, offset, size in self._mappings:
            first = (offset + self._starts[documents].astype(np.int64) * size) // mmap.PAGESIZE
            last = (offset + self._starts[documents + 1].astype(np.int64) * size) // mmap.PAGESIZE
            order = np.argsort(first)
            first, last = first[order], last[order] + 1
            # Documents that share pages or lie side by side are asked for at once.
            end = np.maximum.accumulate(last)
            begins = np.flatnonzero(np.r_[True, first[1:] > end[:-1]])
            ends = np.r_[end[begins[1:] - 1], end[-1:]]
            for begin, stop in zip(first[begins].tolist(), ends.tolist(), strict=True):
                start = begin * mmap.PAGESIZE
                length = min(stop * mmap.PAGESIZE, len(mapping)) - start
                if length > 0:
                    mapping.madvise(mmap.MADV_WILLNEED, start, length)


def _mapping(array: NDArray[Any]) -> tuple[mmap.mmap, int, int] | None:
    """Return the file mapping an array lies in, where in it in bytes, and its items' size."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, mmap.mmap):
        return None
    start = np.frombuffer(base, dtype=np.uint8).ctypes.data
    return base, array.ctypes.data - start, array.itemsize
