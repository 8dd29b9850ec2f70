"""The corpus: counts of words in documents, in three partitions, with the vocabulary."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.corpus.counts import (
    canonical_counts,
    checked_vocabulary,
    split_off,
    without_empty_documents,
)
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntm_ray.corpus.counts import Counts
    from ntm_ray.corpus.options import ReadOptions

PARTITIONS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False, repr=False)
class Corpus:
    """Documents as counts of words: what a topic model is trained and judged on.

    Made by `from_counts`, `read` or `load`, which check what they are given; the constructor does
    not. Plain arrays throughout: pickle protocol 5 (and so `ray.put`) moves them out of band, and
    they may come back read-only. Nothing in this package writes into them.

    Attributes:
        train: (documents, vocabulary) CSR, float32 counts, int32 indices, in canonical form.
        validation: the same for the validation documents; may have no rows.
        test: the same for the test documents; may have no rows.
        vocabulary: the words; word w is column w.
        name: what people call it.
        source: what a job file would name to read it again; None if it was made in memory.
        left_out: partition to number of documents left out because they hold no known word.
        true_topics: (topics, vocabulary) word probabilities, of a synthetic corpus only.
    """

    train: Counts
    validation: Counts
    test: Counts
    vocabulary: tuple[str, ...]
    name: str
    source: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    true_topics: NDArray[np.float64] | None = None

    @classmethod
    def from_counts(
        cls,
        train: Any,
        vocabulary: Sequence[str],
        *,
        validation: Any = None,
        test: Any = None,
        validation_fraction: float = 0.1,
        seed: int = 0,
        name: str = "counts",
        source: str | None = None,
        left_out: Mapping[str, int] | None = None,
        true_topics: NDArray[np.float64] | None = None,
    ) -> Corpus:
        """Makes a corpus of counts: any scipy sparse matrix or dense array of numbers.

        Documents without a word are left out first; only then, and only if `validation` is None,
        a part of the training documents is split off for validation.

        Args:
            train: counts, (documents, vocabulary).
            vocabulary: the words, all different; word w is column w.
            validation: counts, or None to split them off `train`.
            test: counts, or None for no test documents.
            validation_fraction: the part of `train` to split off, in [0, 1); at least one
                document, and 0 for none.
            seed: draws the documents that are split off.
            name: what people call it.
            source: what a job file would name to read it again.
            left_out: documents that a reader left out already, by partition; added to those left
                out here.
            true_topics: (topics, vocabulary), if they are known.

        Raises:
            CorpusError: counts or vocabulary are not as described, or no training document is
                left.
        """
        at = f"{source}: " if source else ""
        words = checked_vocabulary(vocabulary, f"{at}vocabulary, word")
        empty = np.empty((0, len(words)))
        partitions: dict[str, Counts] = {}
        dropped = {partition: (left_out or {}).get(partition, 0) for partition in PARTITIONS}
        for partition, counts in zip(PARTITIONS, (train, validation, test), strict=True):
            partitions[partition], left = without_empty_documents(
                canonical_counts(
                    empty if counts is None else counts, len(words), f"{at}{partition}"
                )
            )
            dropped[partition] += left
        documents = partitions["train"].shape[0]
        if documents == 0:
            raise CorpusError(
                f"{at}train: none of {dropped['train']} document(s) holds a word of the "
                "vocabulary; at least one is needed"
            )
        if validation is None:
            kept, drawn = split_off(documents, validation_fraction, seed, f"{at}train")
            partitions["validation"] = partitions["train"][drawn]
            partitions["train"] = partitions["train"][kept]
        return cls(
            **partitions,
            vocabulary=words,
            name=name,
            source=source,
            left_out=dropped,
            true_topics=true_topics,
        )

    @classmethod
    def read(cls, source: str | Path, *, options: ReadOptions | None = None) -> Corpus:
        """Reads a file, a folder or a named corpus; see `read_corpus`."""
        from ntm_ray.corpus.reading import read_corpus  # reading needs this class

        return read_corpus(source, options)

    @property
    def partitions(self) -> dict[str, Counts]:
        """The three count matrices by name."""
        return {partition: getattr(self, partition) for partition in PARTITIONS}

    @property
    def feature_dim(self) -> int:
        """The number of words in the vocabulary."""
        return len(self.vocabulary)

    @property
    def documents(self) -> dict[str, int]:
        """The number of documents in each partition."""
        return {name: int(counts.shape[0]) for name, counts in self.partitions.items()}

    @property
    def tokens(self) -> dict[str, int]:
        """The number of words in each partition, each counted as often as it occurs."""
        return {
            name: round(float(counts.data.sum(dtype=np.float64)))
            for name, counts in self.partitions.items()
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of vocabulary and counts, in hexadecimal.

        The same for the same content on every machine, whatever its byte order and index type;
        name and source do not enter.
        """
        digest = hashlib.sha256(json.dumps(self.vocabulary).encode())
        for name, counts in self.partitions.items():
            digest.update(f"{name} {counts.shape[0]} {counts.nnz};".encode())
            for array, dtype in (
                (counts.indptr, "<i8"),
                (counts.indices, "<i4"),
                (counts.data, "<f4"),
            ):
                digest.update(np.ascontiguousarray(array, dtype=dtype).data)
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What the corpus is, as plain JSON values."""
        return {
            "name": self.name,
            "source": self.source,
            "documents": self.documents,
            "tokens": self.tokens,
            "vocabulary": self.feature_dim,
            "left_out": dict(self.left_out),
            "fingerprint": self.fingerprint,
        }

    def save(self, path: str | Path) -> None:
        """Writes the corpus to one file (.npz, no pickle); see `save_corpus`."""
        from ntm_ray.corpus.saved import save_corpus  # saved needs this class

        save_corpus(self, path)

    @classmethod
    def load(cls, path: str | Path, *, memory_map: bool = False) -> Corpus:
        """Reads a file that `save` wrote, or maps it into memory; see `load_corpus`."""
        from ntm_ray.corpus.saved import load_corpus  # saved needs this class

        return load_corpus(path, memory_map=memory_map)

    def __repr__(self) -> str:
        documents = "/".join(str(number) for number in self.documents.values())
        return f"Corpus({self.name!r}, {documents} documents, {self.feature_dim} words)"
