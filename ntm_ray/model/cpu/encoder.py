"""The encoder on a CPU: from counts to the posterior's mean and log sigma, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.model.cpu.arithmetic import (
    ONE,
    TWO,
    ZERO,
    exponential,
    inner,
    multiply_add,
    reassociating,
    transpose,
    transposed_product,
)
from ntm_ray.model.cpu.layout import RELU, SIGMOID, filled_rows
from ntm_ray.model.cpu.update import update_rows

if TYPE_CHECKING:
    from ntm_ray.model.cpu.arithmetic import Floats, Integers
    from ntm_ray.model.cpu.layout import Documents, Parameters, Shape, Work

_EPSILON = np.float32(1e-3)
_NEW = np.float32(0.1)
"""MXNet's defaults for BatchNorm: ``running = 0.9 * running + 0.1 * batch``."""


@inner
def gather(
    starts: Integers, columns: Integers, values: Floats, chosen: Integers, batch: Documents
) -> int:
    """Copy some rows of a CSR matrix, and make their transpose and the sums of their values.

    Args:
        starts: Of each row of the matrix, and the end, ``(documents + 1,)``.
        columns: Of each entry.
        values: Of each entry.
        chosen: Which rows, in which order.
        batch: What is filled.

    Returns:
        The number of words that occur.

    """
    read(starts, columns, values, chosen, batch)
    place, rows = batch.place, chosen.size
    place[:] = 0
    for j in range(batch.starts[rows]):
        place[np.uint32(batch.columns[j])] += 1
    # A counting sort.
    found, begin = 0, np.int32(0)
    for word in range(place.size):
        if place[word] > 0:
            batch.words[found], batch.word_starts[found] = word, begin
            begin, place[word] = begin + place[word], begin
            found += 1
    batch.word_starts[found] = begin
    for i in range(rows):
        for j in range(batch.starts[i], batch.starts[i + 1]):
            column = np.uint32(batch.columns[j])
            to = np.uint32(place[column])
            batch.word_documents[to], batch.word_values[to] = i, batch.values[j]
            place[column] += 1
    return found


@inner
def read(
    starts: Integers, columns: Integers, values: Floats, chosen: Integers, batch: Documents
) -> None:
    """Copy some rows of a CSR matrix and sum their values; see :func:`gather`."""
    end = 0
    for i in range(chosen.size):
        batch.starts[i] = end
        total = ZERO
        for j in range(starts[chosen[i]], starts[chosen[i] + 1]):
            batch.columns[end], batch.values[end] = columns[j], values[j]
            total += values[j]
            end += 1
        batch.tokens[i] = total
    # Documents that fill up the batch have no words.
    for i in range(chosen.size, batch.tokens.size):
        batch.starts[i] = end
        batch.tokens[i] = ZERO
    batch.starts[chosen.size], batch.starts[batch.tokens.size] = end, end


@inner
def matrix(flat: Floats, start: int, rows: int, columns: int) -> Floats:
    """Return a part of a flat array as a matrix."""
    return flat[start : start + rows * columns].reshape(rows, columns)


@reassociating
def add_rows(
    starts: Integers, columns: Integers, values: Floats, dense: Floats, first: int, out: Floats
) -> None:
    """Set each row i of `out` to the sum of values times the rows of `dense` of its entries.

    Args:
        starts: Where row ``first + i`` starts in `columns`, and the end.
        columns: Row of `dense` of each entry.
        values: Of each entry.
        dense: ``(any, width)``.
        first: Where in `starts` to begin.
        out: ``(rows, width)``.
    """
    width = out.shape[1]
    for i in range(out.shape[0]):
        o = out[i]
        for k in range(width):
            o[k] = ZERO
        begin, end = starts[first + i], starts[first + i + 1]
        whole = begin + (end - begin) // 4 * 4
        for j in range(begin, whole, 4):
            r0, r1 = dense[np.uint32(columns[j])], dense[np.uint32(columns[j + 1])]
            r2, r3 = dense[np.uint32(columns[j + 2])], dense[np.uint32(columns[j + 3])]
            v0, v1, v2, v3 = values[j], values[j + 1], values[j + 2], values[j + 3]
            for k in range(width):
                o[k] += v0 * r0[k] + v1 * r1[k] + v2 * r2[k] + v3 * r3[k]
        for j in range(whole, end):
            r0, v0 = dense[np.uint32(columns[j])], values[j]
            for k in range(width):
                o[k] += v0 * r0[k]


@reassociating
def activate(activation: int, offset: Floats, documents: int, used: int, out: Floats) -> None:
    """Add the offset and apply the activation, in place; what fills up `out` becomes zero."""
    for i in range(documents):
        o = out[i]
        if activation == SIGMOID:
            for j in range(used):
                o[j] = ONE / (ONE + exponential(-(o[j] + offset[j])))
        elif activation == RELU:
            for j in range(used):
                x = o[j] + offset[j]
                o[j] = x if not (x < ZERO) else ZERO
        else:
            for j in range(used):
                x = o[j] + offset[j]
                # exp(-2 |x|) does not overflow; of NaN both comparisons are false.
                e = exponential(-TWO * x if x > ZERO else TWO * x)
                y = (ONE - e) / (ONE + e)
                o[j] = y if x > ZERO else -y
        for j in range(used, out.shape[1]):
            o[j] = ZERO
    for i in range(documents, out.shape[0]):
        out[i, :] = ZERO


@reassociating
def activate_backward(
    activation: int, output: Floats, documents: int, d: Floats, d_offset: Floats
) -> None:
    """Take `d` back through an activation in place, and set `d_offset` to its sum."""
    d_offset[:] = ZERO
    for i in range(documents):
        o, g = output[i], d[i]
        if activation == SIGMOID:
            for j in range(g.size):
                g[j] *= o[j] * (ONE - o[j])
        elif activation == RELU:
            for j in range(g.size):
                g[j] = g[j] if o[j] > ZERO else g[j] * ZERO
        else:
            for j in range(g.size):
                g[j] *= ONE - o[j] * o[j]
        for j in range(g.size):
            d_offset[j] += g[j]
    for i in range(documents, d.shape[0]):
        d[i, :] = ZERO


@reassociating
def normalise(
    out: Floats,
    documents: int,
    training: bool,
    running_mean: Floats,
    running_var: Floats,
    normalised: Floats,
    scale: Floats,
) -> None:
    """Normalise each column of the first rows of `out` in place, and keep what that gave."""
    for j in range(out.shape[1]):
        mean, var = running_mean[j], running_var[j]
        if training:
            total = 0.0
            for i in range(documents):
                total += out[i, j]
            centre = total / documents
            total = 0.0
            for i in range(documents):
                total += (out[i, j] - centre) ** 2
            mean, var = np.float32(centre), np.float32(total / documents)
            running_mean[j] += _NEW * (mean - running_mean[j])
            running_var[j] += _NEW * (var - running_var[j])
        scale[j] = ONE / np.sqrt(var + _EPSILON)
        for i in range(documents):
            out[i, j] = (out[i, j] - mean) * scale[j]
            normalised[i, j] = out[i, j]


@reassociating
def normalise_backward(normalised: Floats, scale: Floats, documents: int, d: Floats) -> None:
    """Take `d` back in place through ``normalised = (x - mean(x)) / sqrt(var(x) + epsilon)``."""
    for j in range(d.shape[1]):
        along, mean = 0.0, 0.0
        for i in range(documents):
            along += d[i, j] * normalised[i, j]
            mean += d[i, j]
        part, middle = np.float32(along / documents), np.float32(mean / documents)
        for i in range(documents):
            d[i, j] = (d[i, j] - middle - normalised[i, j] * part) * scale[j]


@inner
def encode(
    shape: Shape, parameters: Parameters, batch: Documents, documents: int, training: bool,
    work: Work,
) -> Floats:  # fmt: skip
    """Return mean and log sigma side by side, ``(documents, 2 * topics)``, both filled up."""
    rows = filled_rows(documents)
    at, weights, offsets = 0, 0, 0
    layers = shape.used.size
    out = matrix(work.outputs, 0, rows, shape.widths[0])
    add_rows(batch.starts, batch.columns, batch.values, parameters.rows, 0, out)
    for i in range(layers):
        width = shape.widths[i]
        if shape.batch_norm:
            part = slice(offsets, offsets + width)
            normalise(
                out, documents, training, work.running[0, part], work.running[1, part],
                matrix(work.normalised, at, rows, width), work.scale[part],
            )  # fmt: skip
        activate(
            shape.activation, parameters.offsets[offsets : offsets + width], documents,
            shape.used[i], out,
        )  # fmt: skip
        at += rows * width
        offsets += width
        following = shape.widths[i + 1]
        before, out = out, matrix(work.outputs, at, rows, following)
        last = i == layers - 1
        bias = parameters.offsets[offsets : offsets + following]
        for d in range(rows):
            for j in range(following):
                out[d, j] = bias[j] if last else ZERO
        inner = (shape.used[i] + 3) // 4 * 4
        multiply_add(before, matrix(parameters.dense, weights, width, following), inner, out)
        weights += width * following
    return out


@inner
def encode_backward(shape: Shape, parameters: Parameters, documents: int, work: Work) -> Floats:
    """Return the gradient by the first layer's sums, and leave that of other parameters behind.

    The gradient by the heads is in ``work.d[0]``.
    """
    rows = filled_rows(documents)
    layers = shape.used.size
    at, weights, offsets, hidden = 0, 0, 0, 0
    for i in range(layers):
        at += rows * shape.widths[i]
        weights += shape.widths[i] * shape.widths[i + 1]
        hidden += shape.widths[i]
    offsets = hidden
    d = matrix(work.d[0], 0, rows, shape.widths[layers])
    d_bias = work.offsets[offsets : offsets + shape.widths[layers]]
    d_bias[:] = ZERO
    for i in range(documents):
        for j in range(d_bias.size):
            d_bias[j] += d[i, j]
    for i in range(layers - 1, -1, -1):
        width, following = shape.widths[i], shape.widths[i + 1]
        at -= rows * width
        offsets -= width
        weights -= width * following
        before = matrix(work.outputs, at, rows, width)
        used = (shape.used[i] + 3) // 4 * 4
        transposed_product(before, d, used, matrix(work.dense, weights, width, following))
        to = matrix(work.transposed, 0, following, width)
        transpose(matrix(parameters.dense, weights, width, following), width, to)
        d_before = matrix(work.d[(layers - i) % 2], 0, rows, width)
        d_before[:, :] = ZERO
        multiply_add(d, to, following, d_before)
        d = d_before
        activate_backward(
            shape.activation, before, documents, d, work.offsets[offsets : offsets + width]
        )
        if shape.batch_norm:
            normalise_backward(
                matrix(work.normalised, at, rows, width),
                work.scale[offsets : offsets + width], documents, d,
            )  # fmt: skip
    return d


@inner
def update_words(
    rule: int,
    batch: Documents,
    found: int,
    d: Floats,
    parameters: Parameters,
    a: Parameters,
    b: Parameters,
    gradient: Floats,
    decay: float,
    settings: Floats,
) -> None:
    """Change the first layer's rows of the words that occur.

    Args:
        rule: The optimizer.
        batch: The documents, with their transpose.
        found: How many words occur.
        d: Gradient by the first layer's sums, ``(documents, width)``.
        parameters: Their `rows` are changed.
        a: The optimizer's first state.
        b: Its second.
        gradient: Memory for some rows, ``(rows, width)``.
        decay: Weight decay.
        settings: See :mod:`ntm_ray.model.cpu.update`.
    """
    for j in range(0, found, gradient.shape[0]):
        words = batch.words[j : min(j + gradient.shape[0], found)]
        part = gradient[: words.size]
        add_rows(batch.word_starts, batch.word_documents, batch.word_values, d, j, part)
        update_rows(rule, words, parameters.rows, part, a.rows, b.rows, decay, settings)
