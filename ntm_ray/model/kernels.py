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

_ZERO, _HALF, _ONE, _TWO = (np.float32(x) for x in (0, 0.5, 1, 2))
# Python's floats are float64 to numba: one of them in a loop doubles the width of all of it.
_BETA1, _BETA2, _NEW1, _NEW2 = (np.float32(x) for x in (0.9, 0.999, 0.1, 0.001))
_ADAM_EPSILON, _ADAGRAD_EPSILON = np.float32(1e-8), np.float32(1e-7)
_ADADELTA_EPSILON, _RMSPROP_EPSILON = np.float32(1e-5), np.float32(1e-8)


def _compiled(function: _Function) -> _Function:
    return cast("_Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def _reassociating(function: _Function) -> _Function:
    # Sums in the order that suits vectors; not the whole of fastmath, which denies NaN.
    compiled = numba.njit(
        cache=True,
        nogil=True,
        error_model="numpy",
        fastmath={"reassoc", "contract", "nsz", "arcp"},
    )
    return cast("_Function", compiled(function))


@_compiled
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


# One element's step: weight, gradient, state and settings to new weight and state. A loop over
# such a function becomes vector instructions; a call for every row of a matrix would cost more
# than the row.


@_compiled
def _sgd(w: Any, g: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    return w - rate * (min(max(rescale * g, -clip), clip) + wd * w)


@_compiled
def _adam(w: Any, g: Any, a: Any, b: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    x = min(max(rescale * g + wd * w, -clip), clip)
    a += _NEW1 * (x - a)
    b = _BETA2 * b + _NEW2 * x * x
    return w - rate * a / (np.sqrt(b) + _ADAM_EPSILON), a, b


@_compiled
def _adagrad(w: Any, g: Any, a: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    x = min(max(rescale * g, -clip), clip)
    a += x * x
    return (_ONE - rate * wd) * w - rate * x / np.sqrt(a + _ADAGRAD_EPSILON), a


@_compiled
def _adadelta(w: Any, g: Any, a: Any, b: Any, rescale: Any, clip: Any, wd: Any) -> Any:
    x = min(max(rescale * g, -clip), clip)
    a = _BETA1 * a + _NEW1 * x * x
    delta = np.sqrt((b + _ADADELTA_EPSILON) / (a + _ADADELTA_EPSILON)) * x
    b = _BETA1 * b + _NEW1 * delta * delta
    return (_ONE - wd) * w - delta, a, b


@_compiled
def _rmsprop(w: Any, g: Any, a: Any, rescale: Any, clip: Any, rate: Any, wd: Any) -> Any:
    x = min(max(rescale * g + wd * w, -clip), clip)
    a = _BETA1 * a + _NEW1 * x * x
    return w - rate * x / np.sqrt(a + _RMSPROP_EPSILON), a


@_compiled
def update(
    rule: int, w: Floats, g: Floats, a: Floats, b: Floats, decay: float, settings: Floats
) -> None:
    """Change weights `w` and state `a` and `b` by the gradient `g`, all ``(n,)``."""
    rescale, clip, rate, wd = settings[0], settings[1], settings[2], np.float32(decay)
    if rule == SGD:
        for i in range(w.size):
            w[i] = _sgd(w[i], g[i], rescale, clip, rate, wd)
    elif rule == ADAM:
        for i in range(w.size):
            w[i], a[i], b[i] = _adam(w[i], g[i], a[i], b[i], rescale, clip, rate, wd)
    elif rule == ADAGRAD:
        for i in range(w.size):
            w[i], a[i] = _adagrad(w[i], g[i], a[i], rescale, clip, rate, wd)
    elif rule == ADADELTA:
        for i in range(w.size):
            w[i], a[i], b[i] = _adadelta(w[i], g[i], a[i], b[i], rescale, clip, wd)
    else:
        for i in range(w.size):
            w[i], a[i] = _rmsprop(w[i], g[i], a[i], rescale, clip, rate, wd)


@_compiled
def update_rows(
    rule: int,
    words: Integers,
    w: Floats,
    g: Floats,
    a: Floats,
    b: Floats,
    decay: float,
    settings: Floats,
) -> None:
    """Change the rows `words` of `w`, `a` and `b` by the rows of `g` ``(words, width)``."""
    rescale, clip, rate, wd = settings[0], settings[1], settings[2], np.float32(decay)
    for j in range(words.size):
        r = np.uint32(words[j])
        if rule == SGD:
            for i in range(w.shape[1]):
                w[r, i] = _sgd(w[r, i], g[j, i], rescale, clip, rate, wd)
        elif rule == ADAGRAD:
            for i in range(w.shape[1]):
                w[r, i], a[r, i] = _adagrad(w[r, i], g[j, i], a[r, i], rescale, clip, rate, wd)
        elif rule == ADADELTA:
            for i in range(w.shape[1]):
                w[r, i], a[r, i], b[r, i] = _adadelta(
                    w[r, i], g[j, i], a[r, i], b[r, i], rescale, clip, wd
                )
        else:
            for i in range(w.shape[1]):
                w[r, i], a[r, i] = _rmsprop(w[r, i], g[j, i], a[r, i], rescale, clip, rate, wd)


@_compiled
def refresh_rows(
    rule: int,
    words: Integers,
    w: Floats,
    a: Floats,
    b: Floats,
    last: NDArray[np.int64],
    step: int,
    decay: float,
    settings: Floats,
) -> None:
    """Bring the rows `words` up to `step`: they had no gradient since the step `last`.

    What m steps without a gradient do is a power of what one does, but for rmsprop with weight
    decay, whose m steps are done one by one.
    """
    rescale, clip, rate, wd = settings[0], settings[1], settings[2], np.float32(decay)
    shrink = 1.0 - (1.0 if rule == ADADELTA else np.float64(rate)) * decay
    for j in range(words.size):
        r = np.uint32(words[j])
        missed = step - last[r]
        if missed == 0:
            continue
        last[r] = step
        if rule == RMSPROP and decay != 0.0:
            for _ in range(missed):
                for i in range(w.shape[1]):
                    w[r, i], a[r, i] = _rmsprop(w[r, i], _ZERO, a[r, i], rescale, clip, rate, wd)
            continue
        if rule in (RMSPROP, ADADELTA):
            kept = np.float32(0.9**missed)
            for i in range(w.shape[1]):
                a[r, i] *= kept
            if rule == ADADELTA:
                for i in range(w.shape[1]):
                    b[r, i] *= kept
        if decay != 0.0:
            shrunk = np.float32(shrink**missed)
            for i in range(w.shape[1]):
                w[r, i] *= shrunk


@_compiled
def update_joined(
    rule: int,
    width: int,
    w: Floats,
    g: Floats,
    a: Floats,
    b: Floats,
    decay: float,
    settings: Floats,
) -> None:
    """Do as :func:`update` for a joined matrix, of which only `width` columns are decayed."""
    for row in range(w.shape[0]):
        for begin, end, of_part in ((0, width, decay), (width, w.shape[1], 0.0)):
            update(
                rule, w[row, begin:end], g[row, begin:end], a[row, begin:end], b[row, begin:end],
                of_part, settings,
            )  # fmt: skip


@_compiled
def subtract_rows(words: Integers, rows: Floats, out: Floats) -> None:
    """Subtract `rows` ``(words, width)`` from the rows `words` of `out`."""
    for j in range(words.size):
        r = np.uint32(words[j])
        for i in range(out.shape[1]):
            out[r, i] -= rows[j, i]


@_compiled
def set_rows(words: Integers, rows: Floats, out: Floats) -> None:
    """Set the rows `words` of `out` to `rows` ``(words, width)``."""
    for j in range(words.size):
        r = np.uint32(words[j])
        for i in range(out.shape[1]):
            out[r, i] = rows[j, i]


@_compiled
def clear_rows(words: Integers, out: Floats) -> None:
    """Set the rows `words` of `out` to zero."""
    for j in range(words.size):
        r = np.uint32(words[j])
        for i in range(out.shape[1]):
            out[r, i] = _ZERO
