from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ntm_ray.corpus import Corpus
from ntm_ray.corpus.mapped import MappedDocuments

if TYPE_CHECKING:
    from pathlib import Path


class Asked:
    """A mapping that writes down what is asked for."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self.mapping = mapping
        self.pages: set[int] = set()
        self.calls = 0

    def __len__(self) -> int:
        return len(self.mapping)

    def madvise(self, option: int, start: int, length: int) -> None:
        self.mapping.madvise(option, start, length)
        assert start % mmap.PAGESIZE == 0
        self.pages |= set(range(start // mmap.PAGESIZE, -(-(start + length) // mmap.PAGESIZE)))
        self.calls += 1


@pytest.fixture
def mapped(tmp_path: Path) -> Corpus:
    """2,000 documents of 40 words, 320 bytes each, in a file."""
    columns = np.arange(40) + np.arange(2000)[:, None] % 100
    counts = np.zeros((2000, 200), np.float32)
    counts[np.arange(2000)[:, None], columns] = np.arange(1, 2001)[:, None]
    Corpus.from_counts(
        counts, [f"w{i}" for i in range(200)], validation=counts[:2]
    ).save(tmp_path / "corpus.npz")  # fmt: skip
    return Corpus.load(tmp_path / "corpus.npz", memory_map=True)


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="this system takes no advice")
def test_the_pages_of_all_documents_asked_for_are_asked_for_and_few_others(mapped: Corpus) -> None:
    documents = MappedDocuments(mapped.train)
    assert documents.in_file
    watched = [(Asked(mapping), at, size) for mapping, at, size in documents._mappings]
    documents._mappings = watched  # type: ignore[assignment]
    chosen = np.array([1500, 3, 4, 1999, 700])
    documents.ask_for(chosen)
    for (asked, at, size), array in zip(
        watched, (mapped.train.indices, mapped.train.data), strict=True
    ):
        starts = mapped.train.indptr.astype(np.int64)
        needed = {
            (at + byte * size) // mmap.PAGESIZE
            for d in chosen
            for byte in (starts[d], starts[d + 1] - 1)
        }
        assert needed <= asked.pages
        assert len(asked.pages) <= 2 * len(chosen)
        assert asked.calls <= 4, "documents 3 and 4 lie side by side"
        here = np.frombuffer(asked.mapping, dtype=array.dtype, offset=at, count=array.size)
        np.testing.assert_array_equal(here, array)


def test_a_corpus_in_memory_has_nothing_to_ask_for(mapped: Corpus) -> None:
    documents = MappedDocuments(mapped.train.copy())
    assert not documents.in_file
    documents.ask_for(np.array([0, 1]))
