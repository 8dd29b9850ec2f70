"""Documents on their way into the network: sparse, and laid out for both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional

from ntm_ray.model import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class SparseRows:
    """A matrix in compressed rows, as tensors on a device.

    Attributes:
        starts: Where each row starts in `columns`, and where the last one ends, ``(rows + 1,)``.
        columns: Column of each entry, ``(entries,)``.
        values: Value of each entry, ``(entries,)``.
    """

    starts: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor

    def __matmul__(self, dense: torch.Tensor) -> torch.Tensor:
        """Multiply by a dense matrix ``(columns, width)``, giving ``(rows, width)``.

        A bag of rows of `dense` for each row: on the CPU it takes half the time of torch's own
        sparse product, and unlike a scattered sum it adds in the same order on every device.
        """
        return functional.embedding_bag(
            self.columns,
            dense,
            self.starts,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )

    def subtract_product(self, dense: torch.Tensor, out: torch.Tensor) -> None:
        """Subtract the product with `dense` ``(columns, width)`` from `out` ``(rows, width)``."""
        if out.is_cpu:
            # Only rows that have entries are touched, which are few.
            tensors = (self.starts, self.columns, self.values, dense, out)
            kernels.subtract_rows(*(tensor.numpy() for tensor in tensors))
        else:
            out.sub_(self @ dense)


@dataclass(frozen=True)
class Batch:
    """Some documents' counts, as tensors on the network's device.

    Attributes:
        counts: The counts, ``(documents, vocabulary)``.
        transposed: The same, ``(vocabulary, documents)``; only for training.
        tokens: Number of tokens of each document, ``(documents,)``.
    """

    counts: SparseRows
    transposed: SparseRows | None
    tokens: torch.Tensor

    @classmethod
    def of(
        cls,
        counts: csr_matrix,
        *,
        dtype: torch.dtype,
        device: torch.device,
        transposed: bool = False,
    ) -> Batch:
        """Copy `counts` ``(documents, vocabulary)`` to `device`; both ways if `transposed`."""

        # torch.tensor copies: the corpus may be read-only memory that trials share.
        def rows(starts: np.ndarray, columns: np.ndarray, values: np.ndarray) -> SparseRows:
            return SparseRows(
                starts=torch.tensor(starts, device=device),
                columns=torch.tensor(columns, device=device),
                values=torch.tensor(values, dtype=dtype, device=device),
            )

        columns = counts.tocsc() if transposed else None
        return cls(
            counts=rows(counts.indptr, counts.indices, counts.data),
            transposed=rows(columns.indptr, columns.indices, columns.data)
            if columns is not None
            else None,
            tokens=torch.tensor(
                np.asarray(counts.sum(axis=1)).ravel(), dtype=dtype, device=device
            ),
        )

    @classmethod
    def gathered(
        cls, counts: csr_matrix, documents: NDArray[np.int64], *, device: torch.device
    ) -> Batch:
        """Return some `documents` of `counts` ``(all, vocabulary)`` for training, in float32."""
        lengths = counts.indptr[documents + 1] - counts.indptr[documents]
        starts = np.zeros(len(documents) + 1, dtype=np.int32)
        np.cumsum(lengths, out=starts[1:])
        entries = int(starts[-1])
        columns, word_rows = np.empty((2, entries), dtype=np.int32)
        values, word_values = np.empty((2, entries), dtype=np.float32)
        tokens = np.empty(len(documents), dtype=np.float32)
        word_starts = np.empty(counts.shape[1] + 1, dtype=np.int32)
        kernels.gather(
            counts.indptr, counts.indices, counts.data, documents,
            starts, columns, values, tokens, word_starts, word_rows, word_values,
        )  # fmt: skip

        def rows(*arrays: np.ndarray) -> SparseRows:
            return SparseRows(*(torch.from_numpy(array).to(device) for array in arrays))

        return cls(
            counts=rows(starts, columns, values),
            transposed=rows(word_starts, word_rows, word_values),
            tokens=torch.from_numpy(tokens).to(device),
        )

    def __len__(self) -> int:
        return len(self.tokens)
