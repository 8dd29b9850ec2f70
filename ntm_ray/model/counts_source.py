"""Where a device takes a corpus's counts from: its own memory where they fit, else the host's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ntm_ray.model.batch import FILLING

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from ntm_ray.model.staging import Shape

_SHARE = 0.25
"""Most of a device's free memory that documents may take: trials share devices."""

_COPIED = 1 << 24
"""Elements of the corpus that are copied to a device at a time."""


@dataclass(frozen=True)
class Gathered:
    """Entries of some batches of documents, on the device, in the order of documents.

    Behind the entries of a batch is what fills it up: entries of the value 0, whose documents lie
    behind the batch's own.

    Attributes:
        starts: Where the entries of each document begin, and those of what fills up, and the end,
            ``(batches, bags + 1)``.
        owners: Document of each entry, ``(batches, entries)``.
        columns: Word of each entry.
        values: Count of each entry.
        tokens: Number of tokens of each document, ``(batches, documents)``.
    """

    starts: torch.Tensor
    owners: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor
    tokens: torch.Tensor


class CountsSource(ABC):
    """A corpus's counts as a device takes them, batches of documents at a time.

    Args:
        counts: The documents ``(documents, vocabulary)``.
        device: The device.
    """

    def __init__(self, counts: csr_matrix, device: torch.device) -> None:
        self.lengths: NDArray[np.int64] = np.diff(counts.indptr).astype(np.int64)
        self._counts = counts
        self._device = device
        self._tokens = np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()

    @staticmethod
    def of(
        counts: csr_matrix, device: torch.device, *, resident: bool | None = None
    ) -> CountsSource:
        """Return a source, unless it is said which the fastest that fits; both give the same bits.

        Args:
            counts: The documents ``(documents, vocabulary)``.
            device: The device.
            resident: Whether they lie on the device; None: if they fit.
        """
        if resident is None:
            resident = fits(8 * counts.nnz, device)
        return (Resident if resident else Streamed)(counts, device)

    def gather(self, documents: NDArray[np.int64], shape: Shape) -> Gathered:
        """Return the entries of batches of `documents` ``(batches, documents)``."""
        lengths, first = self.lengths[documents], self._counts.indptr[documents]
        starts = np.zeros((len(documents), shape.bags + 1), dtype=np.int32)
        own = starts[:, 1 : shape.documents + 1]
        np.cumsum(lengths, axis=1, out=own)
        filling = FILLING * np.arange(1, shape.bags - shape.documents + 1)
        starts[:, shape.documents + 1 :] = np.minimum(own[:, -1:] + filling, shape.entries)
        on_device = self.to_device(starts)
        place = torch.arange(shape.entries, dtype=torch.int32, device=self._device)
        owners = torch.searchsorted(
            on_device, place.repeat(len(documents), 1), right=True, out_int32=True
        ).sub_(1)
        columns, values = self._entries(first, starts, owners, shape)
        return Gathered(
            on_device, owners, columns, values, self.to_device(self._tokens[documents])
        )

    def to_device(self, array: NDArray[np.generic]) -> torch.Tensor:
        """Copy an array to the device without waiting for it."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self._device.type != "cuda":
            return tensor.to(self._device)
        # Torch keeps pinned memory until the copy from it is done.
        return tensor.pin_memory().to(self._device, non_blocking=True)

    @abstractmethod
    def _entries(
        self,
        first: NDArray[np.integer],
        starts: NDArray[np.int32],
        owners: torch.Tensor,
        shape: Shape,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return word and count of each entry, ``(batches, entries)``.

        Args:
            first: Where each document begins in the corpus, ``(batches, documents)``.
            starts: See `Gathered`.
            owners: See `Gathered`.
            shape: The shape of the batches.
        """


class Resident(CountsSource):
    """Counts that lie on the device, and are gathered there."""

    def __init__(self, counts: csr_matrix, device: torch.device) -> None:
        super().__init__(counts, device)
        self._columns = _copied(counts.indices, torch.int32, device)
        self._values = _copied(counts.data, torch.float32, device)

    def _entries(
        self,
        first: NDArray[np.integer],
        starts: NDArray[np.int32],
        owners: torch.Tensor,
        shape: Shape,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        shift = np.zeros((len(first), shape.bags), dtype=np.int64)
        shift[:, : shape.documents] = first - starts[:, : shape.documents]
        place = torch.arange(shape.entries, device=self._device)
        source = self.to_device(shift).gather(1, owners.long()).add_(place)
        source.clamp_(max=len(self._columns) - 1)
        fills = owners >= shape.documents
        # What fills up is spread over the words, so that it does not crowd on one.
        filling = (place % shape.vocabulary).to(torch.int32)
        columns = torch.where(fills, filling, self._columns[source])
        return columns, self._values[source].masked_fill_(fills, 0)


class Streamed(CountsSource):
    """Counts that stay on the host, which gathers batches while the device does others."""

    def __init__(self, counts: csr_matrix, device: torch.device) -> None:
        super().__init__(counts, device)
        self._copies: list[torch.cuda.Event] = []

    def _entries(
        self,
        first: NDArray[np.integer],
        starts: NDArray[np.int32],
        owners: torch.Tensor,  # noqa: ARG002 - the host knows them without the device
        shape: Shape,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        own = starts[:, : shape.documents + 1].astype(np.int64)
        lengths = np.diff(own, axis=1).ravel()
        ends = np.cumsum(lengths)
        source = np.repeat(first.ravel() - (ends - lengths), lengths) + np.arange(ends[-1])
        place = np.arange(shape.entries, dtype=np.int32)
        inside = place < own[:, -1:]
        columns = np.tile(place % np.int32(shape.vocabulary), (len(first), 1))
        columns[inside] = self._counts.indices[source]
        values = np.zeros(columns.shape, dtype=np.float32)
        values[inside] = self._counts.data[source]
        if self._device.type == "cuda":
            self._wait()
        return self.to_device(columns), self.to_device(values)

    def _wait(self) -> None:
        """Let the host be two copies ahead and no more: what it has copied is pinned memory."""
        if len(self._copies) == 2:
            self._copies.pop(0).synchronize()
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        self._copies.append(event)


def fits(size: int, device: torch.device) -> bool:
    """Return whether so many bytes are a modest part of what is free on a device."""
    return size <= _SHARE * _free_bytes(device)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return 1 << 62  # a CPU has them already


def _copied(array: NDArray[np.generic], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Copy an array to a device piece by piece: it may be mapped, and larger than memory."""
    copy = torch.zeros(max(1, len(array)), dtype=dtype, device=device)
    for start in range(0, len(array), _COPIED):
        part = torch.tensor(array[start : start + _COPIED])
        copy[start : start + len(part)] = part
    return copy
