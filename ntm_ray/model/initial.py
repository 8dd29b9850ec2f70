"""What a network starts from: weights and biases as MXNet, under SageMaker NTM, has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

INITIAL_SCALE = 0.07
"""Weights start from Uniform(-0.07, 0.07)."""

_TOGETHER = 1 << 22


def initialise(tensors: Mapping[str, NDArray[np.float32]], generator: np.random.Generator) -> None:
    """Set weights to Uniform(-0.07, 0.07), other parameters to 0, running variances to 1.

    Args:
        tensors: Arrays that are written to, by name; in their order, weights are drawn.
        generator: Where they are drawn from.
    """
    for name, values in tensors.items():
        if not name.endswith("_weight"):
            values[...] = 1 if name.endswith("_var") else 0
            continue
        for rows, drawn in drawn_weights(values.shape, generator):
            values[rows] = drawn


def drawn_weights(
    shape: Sequence[int], generator: np.random.Generator
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield the rows of a weight ``(rows, width)`` and what they start from, some at a time."""
    together = max(1, _TOGETHER // shape[1])
    for first in range(0, shape[0], together):
        rows = slice(first, min(first + together, shape[0]))
        drawn = generator.random((rows.stop - first, shape[1]), dtype=np.float32)
        yield rows, (2 * drawn - 1) * np.float32(INITIAL_SCALE)
