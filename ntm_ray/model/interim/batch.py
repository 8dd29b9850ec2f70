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

        A bag of rows of `dense` for each row: on the CPU it is faster than torch's own
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


@dataclass(frozen=True)
class Transposed:
    """The transpose of some documents' counts, without its empty rows.

    Attributes:
        words: The words that occur, in order, ``(words,)``.
        rows: Their rows, ``(words, documents)``.
    """

    words: torch.Tensor
    rows: SparseRows

    def subtract_product(self, dense: torch.Tensor, out: torch.Tensor) -> None:
        """Subtract the product with `dense` ``(documents, width)`` from all words' rows `out`."""
        product = self.rows @ dense
        if out.is_cpu:
            kernels.subtract_rows(self.words.numpy(), product.numpy(), out.numpy())
        else:
            out.index_add_(0, self.words, product, alpha=-1)


@dataclass(frozen=True)
class Batch:
    """Some documents' counts, as tensors on the network's device.

    Attributes:
        counts: The counts, ``(documents, vocabulary)``.
        transposed: The same, transposed; only for training.
        tokens: Number of tokens of each document, ``(documents,)``.
    """

    counts: SparseRows
    transposed: Transposed | None
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

        words = None
        if transposed:
            columns = counts.tocsc()
            occurring = np.flatnonzero(np.diff(columns.indptr)).astype(np.int32)
            starts = np.append(columns.indptr[occurring], columns.indptr[-1])
            words = Transposed(
                words=torch.tensor(occurring, device=device),
                rows=rows(starts, columns.indices, columns.data),
            )
        return cls(
            counts=rows(counts.indptr, counts.indices, counts.data),
            transposed=words,
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
        words, word_starts = np.empty((2, min(entries, counts.shape[1]) + 1), dtype=np.int32)
        found = kernels.gather(
            counts.indptr, counts.indices, counts.data, documents, counts.shape[1],
            starts, columns, values, tokens, words, word_starts, word_rows, word_values,
        )  # fmt: skip

        def rows(*arrays: np.ndarray) -> SparseRows:
            return SparseRows(*(torch.from_numpy(array).to(device) for array in arrays))

        return cls(
            counts=rows(starts, columns, values),
            transposed=Transposed(
                words=torch.from_numpy(words[:found]).to(device),
                rows=rows(word_starts[: found + 1], word_rows, word_values),
            ),
            tokens=torch.from_numpy(tokens).to(device),
        )

    @property
    def for_training(self) -> Transposed:
        """The transpose.

        Raises:
            ValueError: The batch was made without it.
        """
        if self.transposed is None:
            raise ValueError(
                "a batch for training needs its transpose: Batch.of(..., transposed=True)"
            )
        return self.transposed

    def __len__(self) -> int:
        return len(self.tokens)
