"""The CPU's own kernels: what torch does in many passes over memory, in one.

Numba compiles them at first use, a few seconds in all, and keeps the result on disk. They run on
the calling thread, so that they flush denormals where it does, and add in a fixed order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Integers = NDArray[np.int32] | NDArray[np.int64]
    Floats = NDArray[np.float32]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

SIGMOID, TANH, RELU = range(3)

# Python's floats are float64 to numba: one of them in a loop doubles the width of all of it.
_ZERO, _HALF, _ONE, _TWO = (np.float32(x) for x in (0, 0.5, 1, 2))


def compiled(function: _Function) -> _Function:
    """Have numba compile `function`, keep the result on disk, and leave arithmetic as it is."""
    return cast("_Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def _reassociating(function: _Function) -> _Function:
    # Sums in the order that suits vectors; not the whole of fastmath, which denies NaN.
    compiler = numba.njit(
        cache=True,
        nogil=True,
        error_model="numpy",
        fastmath={"reassoc", "contract", "nsz", "arcp"},
    )
    return cast("_Function", compiler(function))


@compiled
def gather(
    starts: Integers,
    columns: Integers,
    values: Floats,
    chosen: Integers,
    vocabulary: int,
    row_starts: Integers,
    row_columns: Integers,
    row_values: Floats,
    sums: Floats,
    words: Integers,
    word_starts: Integers,
    word_rows: Integers,
    word_values: Floats,
) -> int:
    """Copy some rows of a CSR matrix, and make their transpose and the sums of their values.

    Args:
        starts: Of each row of the matrix, and the end, ``(documents + 1,)``.
        columns: Of each entry.
        values: Of each entry.
        chosen: Which rows, in which order, ``(batch,)``.
        vocabulary: Number of columns.
        row_starts: Of the chosen rows, ``(batch + 1,)``; this is already known.
        row_columns: To be filled, as all that follows.
        row_values: Of each entry of the chosen rows.
        sums: Of the values of each chosen row, ``(batch,)``.
        words: The words that occur, in order; with room for one a column or one an entry.
        word_starts: Of the transpose's row of each word that occurs, and the end.
        word_rows: Of each entry of the transpose.
        word_values: Of each entry of the transpose.

    Returns:
        The number of words that occur.

    """
    place = np.zeros(vocabulary, np.int32)
    end = 0
    for i in range(chosen.size):
        total = np.float32(0)
        for j in range(starts[chosen[i]], starts[chosen[i] + 1]):
            column, value = np.uint32(columns[j]), values[j]
            row_columns[end], row_values[end] = column, value
            place[column] += 1
            total += value
            end += 1
        sums[i] = total
    # A counting sort.
    found, begin = 0, np.int32(0)
    for word in range(vocabulary):
        if place[word] > 0:
            words[found], word_starts[found] = word, begin
            begin, place[word] = begin + place[word], begin
            found += 1
    word_starts[found] = begin
    for i in range(chosen.size):
        for j in range(row_starts[i], row_starts[i + 1]):
            column = np.uint32(row_columns[j])
            to = np.uint32(place[column])
            word_rows[to], word_values[to] = i, row_values[j]
            place[column] += 1
    return found


@_reassociating
def through_posterior(
    product: Floats,
    highest: Floats,
    sparse_product: Floats,
    wide: Floats,
    tokens: Floats,
    mean: Floats,
    log_sigma: Floats,
    sigma: Floats,
    noise: Floats,
    recons: Floats,
    kld: Floats,
    scaled: Floats,
    d_mean: Floats,
    d_log_sigma: Floats,
) -> None:
    """Fill what :func:`ntm_ray.model.posterior.through_posterior` returns."""
    topics = mean.shape[1]
    for d in range(mean.shape[0]):
        total = product[d, topics + 1]
        scale = tokens[d] / total
        sparse, along, divergence = total * 0, total * 0, total * 0
        for k in range(topics + 2):
            scaled[d, k] = scale * wide[d, k]
            sparse += sparse_product[d, k] * wide[d, k]
        for k in range(topics):
            d_theta = scale * product[d, k] - sparse_product[d, k]
            d_mean[d, k] = d_theta
            along += d_theta * wide[d, k]
        for k in range(topics):
            d_h = wide[d, k] * (d_mean[d, k] - along)
            beyond = sigma[d, k] * sigma[d, k] - _ONE
            divergence += mean[d, k] * mean[d, k] + beyond - _TWO * log_sigma[d, k]
            d_log_sigma[d, k] = d_h * sigma[d, k] * noise[d, k] + beyond
            d_mean[d, k] = d_h + mean[d, k]
        recons[d] = tokens[d] * (np.log(total) + highest[d]) - sparse
        kld[d] = _HALF * divergence


@_reassociating
def through_activation(activation: int, output: Floats, d: Floats, d_offset: Floats) -> None:
    """Take `d` ``(documents, width)`` back through an activation, and sum it over documents."""
    d_offset[:] = 0
    for i in range(output.shape[0]):
        if activation == SIGMOID:
            for j in range(output.shape[1]):
                d[i, j] *= output[i, j] * (_ONE - output[i, j])
        elif activation == TANH:
            for j in range(output.shape[1]):
                d[i, j] *= _ONE - output[i, j] * output[i, j]
        else:
            for j in range(output.shape[1]):
                d[i, j] = d[i, j] if output[i, j] > 0 else d[i, j] * 0
        for j in range(output.shape[1]):
            d_offset[j] += d[i, j]


@compiled
def subtract_rows(words: Integers, rows: Floats, out: Floats) -> None:
    """Subtract `rows` ``(words, width)`` from the rows `words` of `out`."""
    for j in range(words.size):
        r = np.uint32(words[j])
        for i in range(out.shape[1]):
            out[r, i] -= rows[j, i]


@compiled
def set_rows(words: Integers, rows: Floats, out: Floats) -> None:
    """Set the rows `words` of `out` to `rows` ``(words, width)``."""
    for j in range(words.size):
        r = np.uint32(words[j])
        for i in range(out.shape[1]):
            out[r, i] = rows[j, i]


@compiled
def clear_rows(words: Integers, out: Floats) -> None:
    """Set the rows `words` of `out` to zero."""
    for j in range(words.size):
        r = np.uint32(words[j])
        for i in range(out.shape[1]):
            out[r, i] = _ZERO
