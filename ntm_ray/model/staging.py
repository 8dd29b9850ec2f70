"""Mini-batches on their way to a device: many at a time, in shapes that stay the same.

A GPU does a step of a small NTM faster than a host can ask for it kernel by kernel. So the host
says once for many batches which documents are in them, the device lays them all out, and a step
finds its own by a number that lies on the device: then all steps are the same, and can be
repeated as a CUDA graph. Lengths are known on the host, where the documents are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ntm_ray.model.batch import (
    FILLING,
    Bags,
    Batch,
    ByWord,
    LaidOut,
    filling_bags,
    lay_out_by_word,
    pieces_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ntm_ray.model.counts_source import CountsSource
    from ntm_ray.model.network import DocumentLosses

_STAGE_BYTES = 1 << 28
"""Most memory for the batches that are laid out at a time, and for what that takes on the way."""

_MOST_BATCHES = 1024
_SAMPLES = 512  # batches that room is judged by, unless they have more documents than this:
_SAMPLED_DOCUMENTS = 1 << 20
_ALIGNMENT = 32  # elements: each part of a row begins on a cache line


@dataclass(frozen=True)
class Shape:
    """How many batches are laid out at a time, and how large each is.

    Attributes:
        batches: Number of batches.
        documents: Documents of each batch.
        entries: Room for entries of each batch.
        vocabulary: Number of words.
        topics: Number of topics.
    """

    batches: int
    documents: int
    entries: int
    vocabulary: int
    topics: int

    @classmethod
    def regular(
        cls, lengths: NDArray[np.int64], documents: int, vocabulary: int, topics: int
    ) -> Shape:
        """Return the shape that nearly all batches of a corpus fit.

        Args:
            lengths: Entries of each document of the corpus.
            documents: Documents of a batch, at most those of the corpus.
            vocabulary: Number of words.
            topics: Number of topics.
        """
        alone = cls(1, documents, _filled(_room(lengths, documents)), vocabulary, topics)
        sizes = (sum(part.values()) for part in (alone.integers, alone.floats))
        # What laying out takes on the way comes to as many bytes an entry and a word at most.
        bytes_each = 4 * sum(sizes) + 96 * alone.entries + 24 * vocabulary
        batches = min(-(-len(lengths) // documents), _MOST_BATCHES, _STAGE_BYTES // bytes_each)
        return cls(max(1, batches), documents, alone.entries, vocabulary, topics)

    @classmethod
    def single(cls, documents: int, entries: int, vocabulary: int, topics: int) -> Shape:
        """Return the shape of one batch that does not fit the regular one."""
        return cls(1, documents, _filled(entries), vocabulary, topics)

    @property
    def bags(self) -> int:
        """Bags of documents, with those for what fills up."""
        return self.documents + filling_bags(self.entries)

    @property
    def pieces(self) -> int:
        """Pieces of words; see `ByWord`."""
        return pieces_of(self.entries, self.vocabulary)

    @property
    def integers(self) -> dict[str, int]:
        """Lengths of a batch's parts that are whole numbers."""
        return {
            "starts": self.bags + 1,
            "columns": self.entries,
            "owners": self.entries,
            "word_documents": self.entries,
            "piece_starts": self.pieces + 1,
            "word_starts": self.vocabulary + 1 + filling_bags(self.pieces),
        }

    @property
    def floats(self) -> dict[str, int]:
        """Lengths of a batch's other parts."""
        return {
            "values": self.entries,
            "word_values": self.entries,
            "tokens": self.documents,
            "noise": self.documents * self.topics,
            "rate": 1,
        }


@dataclass(frozen=True)
class Group:
    """Batches that are laid out together.

    Attributes:
        documents: Numbers of their documents, ``(batches, documents)``.
        entries: The most entries of one of them.
        regular: Whether they fit the regular shape.
    """

    documents: NDArray[np.int64]
    entries: int
    regular: bool


def groups(
    documents: NDArray[np.int64], lengths: NDArray[np.int64], regular: Shape
) -> Iterator[Group]:
    """Cut an epoch's `documents`, in their order, into batches, and these into groups.

    Args:
        documents: Numbers of documents.
        lengths: Entries of each document of the corpus.
        regular: The shape of batches that are laid out together.
    """
    size = regular.documents
    whole = len(documents) // size
    batches = documents[: whole * size].reshape(whole, size)
    entries = lengths[batches].sum(axis=1)
    start = 0
    while start < whole:
        fits = entries[start : start + regular.batches] <= regular.entries
        number = len(fits) if fits.all() else int(fits.argmin())
        end = start + max(1, number)
        yield Group(batches[start:end], int(entries[start:end].max()), number > 0)
        start = end
    rest = documents[whole * size :]
    if len(rest):
        yield Group(rest[None], int(lengths[rest].sum()), regular=False)


@dataclass(frozen=True)
class Ready:
    """A batch that a step takes, with what else is its own.

    Attributes:
        batch: The documents.
        noise: Standard normal noise, ``(documents, topics)``.
        rate: The learning rate, ``(1,)``.
    """

    batch: Batch
    noise: torch.Tensor
    rate: torch.Tensor


class Stage:
    """Batches of one shape on a device, and the losses of those that are done.

    Args:
        shape: How many there are, and how large.
        device: Where they lie.
    """

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self.shape = shape
        self._places = [_places(part) for part in (shape.integers, shape.floats)]
        sizes = [max(place.stop for place in places.values()) for places in self._places]
        batches = shape.batches
        self._integers = torch.zeros(batches, sizes[0], dtype=torch.int32, device=device)
        self._floats = torch.zeros(batches, sizes[1], device=device)
        self._losses = torch.zeros(batches, 2, shape.documents, device=device)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)

    def fill(
        self,
        documents: NDArray[np.int64],
        source: CountsSource,
        rates: NDArray[np.float32],
        generator: torch.Generator,
    ) -> None:
        """Lay out batches, and begin with the first of them.

        Args:
            documents: Numbers of their documents, ``(batches, documents)``; batches may be fewer
                than there is room for.
            source: Where their counts come from.
            rates: Learning rate of each batch's step.
            generator: Where noise is drawn from, on the device.
        """
        shape, number = self.shape, len(documents)
        found = source.gather(documents, shape)
        laid_out = lay_out_by_word(
            found.owners, found.columns, found.values, shape.documents, shape.vocabulary
        )
        device = self._floats.device
        noise = torch.randn(
            number, shape.documents * shape.topics, generator=generator, device=device
        )
        integers = {
            "starts": found.starts,
            "columns": found.columns,
            "owners": found.owners.clamp(max=shape.documents - 1),
            "word_documents": laid_out.rows,
            "piece_starts": laid_out.piece_starts,
            "word_starts": laid_out.word_starts,
        }
        floats = {
            "values": found.values,
            "word_values": laid_out.values,
            "tokens": found.tokens,
            "noise": noise,
            "rate": source.to_device(rates[:, None]),
        }
        for target, places, parts in zip(
            (self._integers, self._floats), self._places, (integers, floats), strict=True
        ):
            for name, part in parts.items():
                target[:number, places[name]] = part
        self.number.zero_()

    def next(self) -> Ready:
        """Return the batch that is the next, as the device knows it."""
        integers, floats = (
            {name: row[place] for name, place in places.items()}
            for places, row in zip(
                self._places,
                (part.index_select(0, self.number)[0] for part in (self._integers, self._floats)),
                strict=True,
            )
        )
        shape = self.shape
        by_word = ByWord.of(
            integers["owners"],
            LaidOut(
                integers["word_documents"],
                floats["word_values"],
                integers["piece_starts"],
                integers["word_starts"],
            ),
            shape.vocabulary,
        )
        counts = Bags(integers["starts"], integers["columns"], floats["values"], shape.documents)
        noise = floats["noise"].view(shape.documents, shape.topics)
        return Ready(Batch(counts, floats["tokens"], by_word), noise, floats["rate"])

    def done(self, losses: DocumentLosses) -> None:
        """Keep the losses of the batch that :meth:`next` returned, and go on to the one after."""
        both = torch.stack([losses.recons, losses.kld])
        self._losses.index_copy_(0, self.number, both[None])
        self.number.add_(1)

    def results(self, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return reconstruction terms, KL divergences and tokens of the first batches' documents.

        Each is ``(number x documents,)``, and a copy: the next batches come to the same place.
        """
        recons, kld = self._losses[:number].transpose(0, 1).clone().flatten(1)
        tokens = self._floats[:number, self._places[1]["tokens"]].clone().flatten()
        return recons, kld, tokens


def _room(lengths: NDArray[np.int64], documents: int) -> int:
    """Return how many entries a regular batch has room for.

    All batches pay for room, and one that lacks it pays dearly, being laid out alone: so that
    one document longer than all others does not get room everywhere, yet few batches lack it.
    """
    random, number = np.random.default_rng(0), len(lengths) // documents
    epochs = max(1, min(-(-_SAMPLES // number), _SAMPLED_DOCUMENTS // len(lengths)))
    drawn = (random.permutation(len(lengths))[: number * documents] for _ in range(epochs))
    batches = np.concatenate([lengths[order].reshape(-1, documents) for order in drawn])
    sizes = np.sort(batches.sum(axis=1))
    beyond = 1 - np.arange(1, len(sizes) + 1) / len(sizes)
    return int(sizes[np.argmin(sizes / max(1, np.median(sizes)) + 50 * beyond)])


def _filled(entries: int) -> int:
    return -(-max(entries, 1) // FILLING) * FILLING


def _places(lengths: dict[str, int]) -> dict[str, slice]:
    places, end = {}, 0
    for name, length in lengths.items():
        places[name] = slice(end, end + length)
        end += -(-length // _ALIGNMENT) * _ALIGNMENT
    return places
