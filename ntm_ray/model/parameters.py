"""Named parameters that lie in one vector, so that an optimizer touches them all at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Each parameter starts on a cache line: aligned rows are faster, and equal in every process.
_ALIGNMENT = 16


class ParameterVector:
    """Named tensors that are views of one flat tensor, weights first.

    Args:
        shapes: Shape by name. Names that end in ``_weight`` are decayed by optimizers, others
            are not.
        dtype: Floating-point type of all of them.
        device: Where they lie.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], *, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.shapes = dict(shapes)
        order = sorted(shapes, key=lambda name: not name.endswith("_weight"))
        starts: dict[str, int] = {}
        end = self.decayed = 0
        for name in order:
            starts[name] = end
            end += -(-math.prod(shapes[name]) // _ALIGNMENT) * _ALIGNMENT
            if name.endswith("_weight"):
                self.decayed = end
        self.flat = torch.zeros(end, dtype=dtype, device=device)
        self._views = {
            name: self.flat[starts[name] : starts[name] + math.prod(shape)].view(shape)
            for name, shape in self.shapes.items()
        }

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def zeros_like(self) -> ParameterVector:
        """Return a vector of the same names and shapes, all zero, as for their gradient."""
        return ParameterVector(self.shapes, dtype=self.flat.dtype, device=self.flat.device)
