"""Documents on their way through the network: sparse, and laid out for both directions.

Sums over words and over documents are sums of bags, each added up in the order of its entries: the
same bits every time, unlike sums that are scattered, and without a look at a length that only the
device knows. A GPU adds a bag up entry by entry, so a word that most documents have is added up in
pieces, and what only fills up a batch lies in short bags of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PIECE = 32
"""Most entries that are added up one after the other where a word's documents are."""

FILLING = 64
"""Most entries of a bag that only holds what fills up a batch."""


@dataclass(frozen=True)
class Bags:
    """Weighted sums of a matrix's rows, as a sparse matrix in compressed rows.

    Attributes:
        starts: Where each bag starts in `rows`, and where the last one ends, ``(bags + 1,)``: the
            first at 0, the last at the end of `rows`, which is what a GPU takes them for anyway.
        rows: The row of each entry, ``(entries,)``.
        values: What it is multiplied by, ``(entries,)``; None for 1.
        count: How many bags are wanted; those behind hold what fills up.
    """

    starts: torch.Tensor
    rows: torch.Tensor
    values: torch.Tensor | None
    count: int

    def __matmul__(self, dense: torch.Tensor) -> torch.Tensor:
        """Multiply by a dense matrix ``(rows, width)``, giving ``(count, width)``."""
        return functional.embedding_bag(
            self.rows,
            dense,
            self.starts,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )[: self.count]


@dataclass(frozen=True)
class ByWord:
    """Counts as they are needed on the way back, where gradients are summed by word.

    Attributes:
        documents: The document of each entry of the counts, ``(entries,)``; for what fills up,
            which has the value 0, the last one.
        pieces: Sums over at most `PIECE` documents of a word.
        words: Sums over the pieces of each word, those without any included.
    """

    documents: torch.Tensor
    pieces: Bags
    words: Bags

    @classmethod
    def of(
        cls,
        documents: torch.Tensor,
        laid_out: LaidOut,
        vocabulary: int,
    ) -> ByWord:
        """Put together what :func:`lay_out_by_word` made of one batch."""
        starts = laid_out.piece_starts
        numbers = torch.arange(len(starts) - 1, dtype=torch.int32, device=starts.device)
        return cls(
            documents,
            pieces=Bags(starts, laid_out.rows, laid_out.values, len(numbers)),
            words=Bags(laid_out.word_starts, numbers, None, vocabulary),
        )

    def __matmul__(self, dense: torch.Tensor) -> torch.Tensor:
        """Multiply the transposed counts by ``(documents, width)``: ``(vocabulary, width)``."""
        return self.words @ (self.pieces @ dense)


@dataclass(frozen=True)
class Batch:
    """Some documents' counts, as tensors on the network's device.

    Attributes:
        counts: The counts, ``(documents, vocabulary)``.
        tokens: Number of tokens of each document, ``(documents,)``.
        by_word: What training needs besides.
    """

    counts: Bags
    tokens: torch.Tensor
    by_word: ByWord | None = None

    @classmethod
    def of(
        cls,
        counts: csr_matrix,
        *,
        dtype: torch.dtype,
        device: torch.device,
        transposed: bool = False,
    ) -> Batch:
        """Copy `counts` ``(documents, vocabulary)`` to `device`, for training if `transposed`."""
        documents, vocabulary = counts.shape
        # torch.tensor copies: the corpus may be read-only memory that trials share.
        starts = torch.tensor(counts.indptr, dtype=torch.int32, device=device)
        columns = torch.tensor(counts.indices, dtype=torch.int32, device=device)
        values = torch.tensor(counts.data, dtype=dtype, device=device)
        by_word = None
        if transposed:
            lengths = np.diff(counts.indptr)
            rows = np.repeat(np.arange(documents, dtype=np.int32), lengths)
            owners = torch.from_numpy(rows).to(device)
            laid_out = lay_out_by_word(
                owners[None], columns[None], values[None], documents, vocabulary
            )
            by_word = ByWord.of(owners, LaidOut(*(part[0] for part in laid_out)), vocabulary)
        return cls(
            counts=Bags(starts, columns, values, documents),
            tokens=torch.tensor(
                np.asarray(counts.sum(axis=1)).ravel(), dtype=dtype, device=device
            ),
            by_word=by_word,
        )

    @property
    def for_training(self) -> ByWord:
        """What training needs.

        Raises:
            ValueError: The batch was made without it.
        """
        if self.by_word is None:
            raise ValueError(
                "a batch for training needs its transpose: Batch.of(..., transposed=True)"
            )
        return self.by_word

    def __len__(self) -> int:
        return len(self.tokens)


class LaidOut(NamedTuple):
    """The transposes of several batches, as `ByWord.of` takes them, ``(batches, ...)`` each."""

    rows: torch.Tensor
    values: torch.Tensor
    piece_starts: torch.Tensor
    word_starts: torch.Tensor


def pieces_of(entries: int, vocabulary: int) -> int:
    """Return how many pieces the words of a batch of that many entries have at most."""
    return min(entries, min(vocabulary + 1, entries) + entries // PIECE)


def filling_bags(entries: int) -> int:
    """Return how many bags it takes for that many entries that fill up."""
    return -(-entries // FILLING)


def lay_out_by_word(
    owners: torch.Tensor,
    columns: torch.Tensor,
    values: torch.Tensor,
    documents: int,
    vocabulary: int,
) -> LaidOut:
    """Sort the entries of some batches by word, in the order of documents within a word.

    Nothing here waits for the device, and all sizes are known beforehand.

    Args:
        owners: Document of each entry, ``(batches, entries)``, rising; from `documents` on, an
            entry fills up, its value is 0, and its word does not matter.
        columns: Word of each entry.
        values: Count of each entry.
        documents: Number of documents of each batch.
        vocabulary: Number of words.
    """
    batches, entries = owners.shape
    device = owners.device
    # One sort for all batches: their words follow one another. What fills up a batch sorts behind
    # its last word.
    first_words = torch.arange(batches, dtype=columns.dtype, device=device)[:, None]
    first_words = first_words * (vocabulary + 1)
    words, order = torch.sort(
        columns.masked_fill(owners >= documents, vocabulary).add_(first_words).view(-1),
        stable=True,
    )
    place = torch.arange(batches * entries, device=device)
    begins = (place - torch.searchsorted(words, words)) % PIECE == 0
    # How many pieces of a batch begin up to each of its entries, itself included.
    begun = begins.view(batches, entries).cumsum(1, dtype=torch.int32)
    most = pieces_of(entries, vocabulary)
    numbers = torch.arange(1, most + 2, dtype=torch.int32, device=device)
    piece_starts = torch.searchsorted(begun, numbers.repeat(batches, 1), out_int32=True)
    all_words = torch.arange(vocabulary + 1, dtype=columns.dtype, device=device) + first_words
    first_entries = torch.searchsorted(words, all_words)
    first_entries -= entries * torch.arange(batches, device=device)[:, None]
    before = functional.pad(begun, (1, 0)).gather(1, first_entries)
    filling = FILLING * torch.arange(1, filling_bags(most) + 1, device=device)
    rest = (before[:, vocabulary:] + filling).clamp(max=most)
    return LaidOut(
        rows=owners.clamp(max=documents - 1).view(-1)[order].view(batches, entries),
        values=values.view(-1)[order].view(batches, entries),
        piece_starts=piece_starts,
        word_starts=torch.cat([before, rest.to(torch.int32)], dim=1),
    )
