"""Named parameters that lie in one vector, so that an optimizer touches them all at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ntm_ray.model.batch import ByWord

# Each parameter starts on a cache line: aligned rows are faster, and equal in every process.
_ALIGNMENT = 16
# Rows of the sparse weight are read and changed one by one: none ends in half a vector.
_ROW_ALIGNMENT = 32
_JOINED_ALIGNMENT = 8

_PART_BYTES = 1 << 28
"""Most memory for a part of the gradient of the weight that counts are multiplied by."""


class ParameterVector:
    """Named tensors that are views of one flat tensor, weights first.

    Args:
        shapes: Shape by name. Names that end in ``_weight`` are decayed by optimizers, others
            are not.
        dtype: Floating-point type of all of them.
        device: Where they lie.
        sparse: Name of the weight ``(rows, width)`` whose gradient touches few rows, if there is
            one; it must be the first weight, and so lies first.
        joined: Names of a weight ``(rows, width)`` and a bias ``(rows,)``, if there are such, that
            lie side by side as one matrix, with at least one more column.

    Attributes:
        flat: All of them: `sparse`, other weights, other parameters, and the joined matrix.
        sparse_end: Where in `flat` the weight `sparse` ends; 0 without one.
        weights_end: Where in `flat` the weights end that are not joined.
        others_end: Where in `flat` the parameters end that are not joined.
        rows: The weight `sparse`, its rows filled up with zeros; ``(0, 0)`` without one.
        matrix: The joined matrix, ``(rows, at least width + 2)``; without rows if there is none.
        matrix_width: Its columns up to the bias.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        dtype: torch.dtype,
        device: torch.device,
        sparse: str | None = None,
        joined: tuple[str, str] | None = None,
    ) -> None:
        self.shapes = dict(shapes)
        self.sparse, self.joined = sparse, joined
        alone = [name for name in shapes if joined is None or name not in joined]
        starts: dict[str, int] = {}
        end = self.weights_end = self.sparse_end = 0
        for name in sorted(alone, key=lambda name: not name.endswith("_weight")):
            starts[name] = end
            if name == sparse:
                rows, width = shapes[name]
                stride = -(-width // _ROW_ALIGNMENT) * _ROW_ALIGNMENT
                end = self.sparse_end = self.weights_end = rows * stride
                continue
            end += -(-math.prod(shapes[name]) // _ALIGNMENT) * _ALIGNMENT
            if name.endswith("_weight"):
                self.weights_end = end
        self.others_end = end
        height, across = shapes[joined[0]] if joined else (0, 0)
        stride = -(-(across + 2) // _JOINED_ALIGNMENT) * _JOINED_ALIGNMENT
        self.flat = torch.zeros(end + height * stride, dtype=dtype, device=device)
        self.matrix = self.flat[end:].view(height, stride)
        views = {
            name: self.flat[start : start + math.prod(shapes[name])].view(shapes[name])
            for name, start in starts.items()
            if name != sparse
        }
        rows, width = shapes[sparse] if sparse else (0, 0)
        self.rows = self.flat[: self.sparse_end].view(rows, -1 if rows else 0)
        if sparse:
            views[sparse] = self.rows[:, :width]
        self.matrix_width = across
        if joined:
            views |= {joined[0]: self.matrix[:, :across], joined[1]: self.matrix[:, across]}
        self._views = {name: views[name] for name in shapes}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def gradient(self) -> ParameterVector:
        """Return a vector for the gradient, all zero, laid out as `flat` from `sparse_end` on."""
        shapes = {name: shape for name, shape in self.shapes.items() if name != self.sparse}
        return ParameterVector(
            shapes, dtype=self.flat.dtype, device=self.flat.device, joined=self.joined
        )


@dataclass(frozen=True)
class WordGradient:
    """The gradient of the weight that counts are multiplied by: ``X^T d``, not yet carried out.

    Attributes:
        by_word: The counts X, transposed.
        d: Gradient by the product ``(documents, width)``, as wide as the filled up rows.
    """

    by_word: ByWord
    d: torch.Tensor

    def parts(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield it column by column: which columns, and ``(vocabulary, columns)``, to be used up.

        As many columns as fit a set size are together, but at least `_ROW_ALIGNMENT`.
        """
        width = self.d.shape[1]
        column = (self.by_word.words.count + self.by_word.pieces.count) * self.d.itemsize
        most = max(1, _PART_BYTES // (column * _ROW_ALIGNMENT)) * _ROW_ALIGNMENT
        for start in range(0, width, most):
            columns = slice(start, min(start + most, width))
            yield columns, self.by_word @ self.d[:, columns]

    def dense(self) -> torch.Tensor:
        """Return all of it, ``(vocabulary, width)``."""
        return torch.cat([part for _, part in self.parts()], dim=1)
