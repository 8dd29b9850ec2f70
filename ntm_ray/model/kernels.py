"""The CPU's own kernels: batches out of CSR arrays, and optimizers in one pass over memory.

Numba compiles them at first use, a few seconds in all, and keeps the result on disk. They run on
the calling thread, so that they flush denormals where it does, and add in a fixed order.

The optimizers are those of :mod:`ntm_ray.model.optimizers`, which is where their formulas are
explained. `settings` is ``[rescale_gradient, clip_gradient, rate]`` in float32, with adam's bias
correction in its rate; an optimizer that keeps less than two arrays gets `w` in their place.
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
SGD, ADAM, ADAGRAD, ADADELTA, RMSPROP = range(5)

_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)
# Python's floats are float64 to numba: one of them in a loop doubles the width of all of it.
_BETA1, _BETA2, _NEW1, _NEW2 = (np.float32(x) for x in (0.9, 0.999, 0.1, 0.001))
_ADAM_EPSILON, _ADAGRAD_EPSILON = np.float32(1e-8), np.float32(1e-7)
_ADADELTA_EPSILON, _RMSPROP_EPSILON = np.float32(1e-5), np.float32(1e-8)


def _compiled(function: _Function) -> _Function:
    return cast("_Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def _reassociating(function: _Function) -> _Function:
    # Sums in the order that suits vectors; not the whole of fastmath, which denies NaN.
    options = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}
    return cast("_Function", numba.njit(cache=True, nogil=True, **options)(function))


@_compiled
def gather(
    starts: Integers,
    columns: Integers,
    values: Floats,
    chosen: Integers,
    row_starts: Integers,
    row_columns: Integers,
    row_values: Floats,
    sums: Floats,
    word_starts: Integers,
    word_rows: Integers,
    word_values: Floats,
) -> None:
    """Copy some rows of a CSR matrix, and make their transpose and the sums of their values.

    Args:
        starts: Of each row of the matrix, and the end, ``(documents + 1,)``.
        columns: Of each entry.
        values: Of each entry.
        chosen: Which rows, in which order, ``(batch,)``.
        row_starts: Of the chosen rows, ``(batch + 1,)``; this is already known.
        row_columns: To be filled, as all that follows.
        row_values: Of each entry of the chosen rows.
        sums: Of the values of each chosen row, ``(batch,)``.
        word_starts: Of the transpose's rows, ``(vocabulary + 1,)``.
        word_rows: Of each entry of the transpose.
        word_values: Of each entry of the transpose.
    """
    word_starts[:] = 0
    end = 0
    for i in range(chosen.size):
        total = np.float32(0)
        for j in range(starts[chosen[i]], starts[chosen[i] + 1]):
            column, value = columns[j], values[j]
            row_columns[end], row_values[end] = column, value
            word_starts[column] += 1
            total += value
            end += 1
        sums[i] = total
    # A counting sort: from here each word's place is the end of its entries, which are filled
    # from behind, so that in the end it is their start.
    place = np.int32(0)
    for word in range(word_starts.size):
        place += word_starts[word]
        word_starts[word] = place
    for i in range(chosen.size - 1, -1, -1):
        for j in range(row_starts[i], row_starts[i + 1]):
            place = word_starts[row_columns[j]] - 1
            word_starts[row_columns[j]] = place
            word_rows[place], word_values[place] = i, row_values[j]


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


@_compiled
def update(
    rule: int, w: Floats, g: Floats, a: Floats, b: Floats, decay: float, settings: Floats
) -> None:
    """Change weights `w` and state `a` and `b` by the gradient `g`, all ``(n,)``."""
    rescale, clip, rate = settings[0], settings[1], settings[2]
    wd = np.float32(decay)
    if rule == SGD:
        for i in range(w.size):
            x = min(max(rescale * g[i], -clip), clip)
            w[i] -= rate * (x + wd * w[i])
    elif rule == ADAM:
        for i in range(w.size):
            x = min(max(rescale * g[i] + wd * w[i], -clip), clip)
            a[i] += _NEW1 * (x - a[i])
            b[i] = _BETA2 * b[i] + _NEW2 * x * x
            w[i] -= rate * a[i] / (np.sqrt(b[i]) + _ADAM_EPSILON)
    elif rule == ADAGRAD:
        keep = _ONE - rate * wd
        for i in range(w.size):
            x = min(max(rescale * g[i], -clip), clip)
            a[i] += x * x
            w[i] = keep * w[i] - rate * x / np.sqrt(a[i] + _ADAGRAD_EPSILON)
    elif rule == ADADELTA:
        keep = _ONE - wd
        for i in range(w.size):
            x = min(max(rescale * g[i], -clip), clip)
            a[i] = _BETA1 * a[i] + _NEW1 * x * x
            delta = np.sqrt((b[i] + _ADADELTA_EPSILON) / (a[i] + _ADADELTA_EPSILON)) * x
            b[i] = _BETA1 * b[i] + _NEW1 * delta * delta
            w[i] = keep * w[i] - delta
    else:
        for i in range(w.size):
            x = min(max(rescale * g[i] + wd * w[i], -clip), clip)
            a[i] = _BETA1 * a[i] + _NEW1 * x * x
            w[i] -= rate * x / np.sqrt(a[i] + _RMSPROP_EPSILON)


@_compiled
def update_joined(
    rule: int, w: Floats, g: Floats, a: Floats, b: Floats, decay: float, settings: Floats
) -> None:
    """Do as :func:`update` for a joined ``(rows, width + 2)``, whose bias is not decayed."""
    width = w.shape[1] - 2
    for row in range(w.shape[0]):
        for begin, end, of_part in ((0, width, decay), (width, width + 1, 0.0)):
            update(
                rule, w[row, begin:end], g[row, begin:end], a[row, begin:end], b[row, begin:end],
                of_part, settings,
            )  # fmt: skip


@_reassociating
def sum_rows(
    starts: Integers, rows: Integers, values: Floats, d: Floats, word: int, g: Floats
) -> None:
    """Set `g` to the gradient of one word's weights: its row of ``X^T d``."""
    g[:] = 0
    for j in range(starts[word], starts[word + 1]):
        row, value = rows[j], values[j]
        for i in range(g.size):
            g[i] += value * d[row, i]


@_reassociating
def subtract_rows(
    starts: Integers, rows: Integers, values: Floats, d: Floats, gradient: Floats
) -> None:
    """Subtract ``X^T d`` from `gradient` ``(vocabulary, width)``."""
    for word in range(starts.size - 1):
        for j in range(starts[word], starts[word + 1]):
            row, value = rows[j], values[j]
            for i in range(gradient.shape[1]):
                gradient[word, i] -= value * d[row, i]


@_compiled
def scatter_rows(
    starts: Integers, rows: Integers, values: Floats, d: Floats, gradient: Floats
) -> None:
    """Set the rows of `gradient` whose word occurs to ``X^T d`` and leave the others alone."""
    for word in range(starts.size - 1):
        if starts[word] < starts[word + 1]:
            sum_rows(starts, rows, values, d, word, gradient[word])


@_compiled
def clear_rows(starts: Integers, gradient: Floats) -> None:
    """Set the rows of `gradient` whose word occurs to zero."""
    for word in range(starts.size - 1):
        if starts[word] < starts[word + 1]:
            gradient[word] = 0


@_compiled
def update_rows(
    rule: int,
    starts: Integers,
    rows: Integers,
    values: Floats,
    d: Floats,
    w: Floats,
    a: Floats,
    b: Floats,
    last: NDArray[np.int64],
    step: int,
    decay: float,
    settings: Floats,
) -> None:
    """Do step number `step` for the rows of `w`, `a` and `b` whose word occurs.

    Args:
        rule: Which optimizer.
        starts: Of each word's entries, ``(vocabulary + 1,)``.
        rows: Document of each entry.
        values: Count of each entry.
        d: Gradient by the product of counts and weights, ``(documents, width)``.
        w: Weights, ``(vocabulary, width)``.
        a: First array of state, as `w`.
        b: Second array of state, as `w`.
        last: The step that each row is up to date with, ``(vocabulary,)``.
        step: Number of this step, from 1.
        decay: Weight decay.
        settings: See above.
    """
    g = np.empty(w.shape[1], np.float32)
    for word in range(starts.size - 1):
        if starts[word] < starts[word + 1]:
            sum_rows(starts, rows, values, d, word, g)
            update(rule, w[word], g, a[word], b[word], decay, settings)
            last[word] = step


@_compiled
def refresh_rows(
    rule: int,
    starts: Integers,
    w: Floats,
    a: Floats,
    b: Floats,
    last: NDArray[np.int64],
    step: int,
    decay: float,
    settings: Floats,
) -> None:
    """Bring the rows whose word occurs up to `step`: they had no gradient since `last`.

    What m steps without a gradient do is a power of what one does, but for rmsprop with weight
    decay, whose m steps are done one by one. Arguments as for :func:`update_rows`.
    """
    rate = np.float64(settings[2])
    shrink = 1.0 - (1.0 if rule == ADADELTA else rate) * decay
    none = np.zeros(w.shape[1], np.float32)
    for word in range(starts.size - 1):
        missed = step - last[word]
        if starts[word] == starts[word + 1] or missed == 0:
            continue
        last[word] = step
        if rule == RMSPROP and decay != 0.0:
            for _ in range(missed):
                update(rule, w[word], none, a[word], b[word], decay, settings)
            continue
        kept = np.float32(0.9**missed)
        if rule in (RMSPROP, ADADELTA):
            for i in range(none.size):
                a[word, i] *= kept
        if rule == ADADELTA:
            for i in range(none.size):
                b[word, i] *= kept
        if decay != 0.0:
            shrunk = np.float32(shrink**missed)
            for i in range(none.size):
                w[word, i] *= shrunk
