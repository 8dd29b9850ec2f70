"""The decoder on a CPU: from topic weights to the likelihood of words, and back.

With logits ``z = theta W + b``, E = exp(z - shift), s its row sums and n the tokens of x::

    recons = n (log s + shift) - x . z        d_z = n / s (E - s / n x)
    d_theta = d_z W^T      d_W = theta^T d_z      d_b = sum d_z

A block of words at a time, for all documents: the block's weights stay in a cache, the sparse sum
is read off the logits, and on the way back counts are taken off the exponentials, so that no
product with counts is left. The block's weights change as soon as their gradient is there. Where
exponentials of the whole batch would not stay in a cache they are made anew on the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.model.cpu.arithmetic import ZERO, exponential, inner, reassociating
from ntm_ray.model.cpu.layout import ROWS
from ntm_ray.model.cpu.update import update

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.model.cpu.arithmetic import Doubles, Floats
    from ntm_ray.model.cpu.layout import Documents, Parameters, Work


@reassociating
def _logits(
    theta: Floats, d: int, topics: int, weight: Floats, bias: Floats, first: int, last: int,
    z: Floats, at: int, left: int,
) -> None:  # fmt: skip
    """Set the logits of four documents from `d` for a block of words.

    They go to the rows of `z` from `at`, from the column `left` on.
    """
    n = last - first
    bias_part = bias[first:last]
    z0, z1 = z[at, left : left + n], z[at + 1, left : left + n]
    z2, z3 = z[at + 2, left : left + n], z[at + 3, left : left + n]
    for j in range(n):
        z0[j] = bias_part[j]
        z1[j] = bias_part[j]
        z2[j] = bias_part[j]
        z3[j] = bias_part[j]
    for k in range(0, topics, 4):
        x0, x1, x2, x3 = theta[d, k], theta[d, k + 1], theta[d, k + 2], theta[d, k + 3]
        y0, y1, y2, y3 = (
            theta[d + 1, k],
            theta[d + 1, k + 1],
            theta[d + 1, k + 2],
            theta[d + 1, k + 3],
        )
        u0, u1, u2, u3 = (
            theta[d + 2, k],
            theta[d + 2, k + 1],
            theta[d + 2, k + 2],
            theta[d + 2, k + 3],
        )
        v0, v1, v2, v3 = (
            theta[d + 3, k],
            theta[d + 3, k + 1],
            theta[d + 3, k + 2],
            theta[d + 3, k + 3],
        )
        w0, w1 = weight[k, first:last], weight[k + 1, first:last]
        w2, w3 = weight[k + 2, first:last], weight[k + 3, first:last]
        for j in range(n):
            p0, p1, p2, p3 = w0[j], w1[j], w2[j], w3[j]
            z0[j] += x0 * p0 + x1 * p1 + x2 * p2 + x3 * p3
            z1[j] += y0 * p0 + y1 * p1 + y2 * p2 + y3 * p3
            z2[j] += u0 * p0 + u1 * p1 + u2 * p2 + u3 * p3
            z3[j] += v0 * p0 + v1 * p1 + v2 * p2 + v3 * p3


@inner
def _highest(z: Floats, highest: Any) -> Any:
    for j in range(z.size):
        highest = z[j] if z[j] > highest else highest
    return highest


@reassociating
def _exponentiate(z: Floats, shift: Any) -> Any:
    """Set `z` to ``exp(z - shift)`` and return its sum."""
    total = ZERO
    for j in range(z.size):
        e = exponential(z[j] - shift)
        z[j] = e
        total += e
    return total


@reassociating
def _products(
    e: Floats, at: int, left: int, weight: Floats, first: int, last: int, product: Floats, d: int
) -> None:
    """Add the products of four documents' exponentials with a block of weights to `product`.

    Exponentials are in the rows of `e` from `at`, from the column `left` on.
    """
    n = last - first
    e0, e1 = e[at, left : left + n], e[at + 1, left : left + n]
    e2, e3 = e[at + 2, left : left + n], e[at + 3, left : left + n]
    for k in range(0, weight.shape[0], 4):
        w0, w1 = weight[k, first:last], weight[k + 1, first:last]
        w2, w3 = weight[k + 2, first:last], weight[k + 3, first:last]
        x0 = x1 = x2 = x3 = ZERO
        y0 = y1 = y2 = y3 = ZERO
        z0 = z1 = z2 = z3 = ZERO
        u0 = u1 = u2 = u3 = ZERO
        for j in range(n):
            v = e0[j]
            x0 += v * w0[j]
            x1 += v * w1[j]
            x2 += v * w2[j]
            x3 += v * w3[j]
            v = e1[j]
            y0 += v * w0[j]
            y1 += v * w1[j]
            y2 += v * w2[j]
            y3 += v * w3[j]
            v = e2[j]
            z0 += v * w0[j]
            z1 += v * w1[j]
            z2 += v * w2[j]
            z3 += v * w3[j]
            v = e3[j]
            u0 += v * w0[j]
            u1 += v * w1[j]
            u2 += v * w2[j]
            u3 += v * w3[j]
        p = product[d, k : k + 4]
        p[0] += x0
        p[1] += x1
        p[2] += x2
        p[3] += x3
        p = product[d + 1, k : k + 4]
        p[0] += y0
        p[1] += y1
        p[2] += y2
        p[3] += y3
        p = product[d + 2, k : k + 4]
        p[0] += z0
        p[1] += z1
        p[2] += z2
        p[3] += z3
        p = product[d + 3, k : k + 4]
        p[0] += u0
        p[1] += u1
        p[2] += u2
        p[3] += u3


@reassociating
def _add_gradient(
    e: Floats, at: int, left: int, scaled: Floats, d: int, n: int, gradient: Floats
) -> None:
    """Add eight documents' part of the gradient of a block of `n` words; see `_products`."""
    right = left + n
    e0, e1, e2, e3 = (
        e[at, left:right],
        e[at + 1, left:right],
        e[at + 2, left:right],
        e[at + 3, left:right],
    )
    e4, e5, e6, e7 = (
        e[at + 4, left:right],
        e[at + 5, left:right],
        e[at + 6, left:right],
        e[at + 7, left:right],
    )
    for k in range(gradient.shape[0]):
        x0, x1, x2, x3 = scaled[d, k], scaled[d + 1, k], scaled[d + 2, k], scaled[d + 3, k]
        y0, y1, y2, y3 = scaled[d + 4, k], scaled[d + 5, k], scaled[d + 6, k], scaled[d + 7, k]
        g = gradient[k, :n]
        for j in range(n):
            g[j] += (x0 * e0[j] + x1 * e1[j] + x2 * e2[j] + x3 * e3[j]) + (
                y0 * e4[j] + y1 * e5[j] + y2 * e6[j] + y3 * e7[j]
            )


@inner
def _begin(batch: Documents, first: int, cursors: NDArray[np.int32]) -> None:
    """Set each document's cursor to its first entry of a word not before `first`."""
    for d in range(cursors.size):
        cursor = batch.starts[d]
        if first > 0:
            while cursor < batch.starts[d + 1] and batch.columns[cursor] < first:
                cursor += 1
        cursors[d] = cursor


@inner
def forward(
    parameters: Parameters,
    topics: int,
    batch: Documents,
    rows: int,
    first: int,
    last: int,
    part: int,
    work: Work,
) -> None:
    """Leave sums of exponentials, and of counts times logits, of words in [first, last) behind.

    Args:
        parameters: The decoder's are read.
        topics: Number of topics.
        batch: The documents.
        rows: Their number, filled up.
        first: First word.
        last: The one after the last word.
        part: Which part of the vocabulary that is, for what is kept apart in `work`.
        work: Theta and shift are read; sums, sparse and kept are set.
    """
    theta, weight, bias = work.theta, parameters.weight, parameters.bias
    sums, sparse, cursors = work.sums[part], work.sparse[part], work.cursors[part, :rows]
    size = work.gradient.shape[2]
    inner = (topics + 3) // 4 * 4
    kept = work.kept.shape[0] > 0
    sums[:rows] = 0.0
    sparse[:rows] = 0.0
    _begin(batch, first, cursors)
    for begin in range(first, last, size):
        end = min(begin + size, last)
        for d in range(0, rows, 4):
            z, at, left = (work.kept, d, begin) if kept else (work.block[part], 0, 0)
            _logits(theta, d, inner, weight, bias, begin, end, z, at, left)
            for i in range(4):
                row = z[at + i, left : left + end - begin]
                _add_sparse(batch, d + i, begin, end, row, cursors, sparse)
                sums[d + i] += _exponentiate(row, work.shift[d + i])


@inner
def _add_sparse(
    batch: Documents,
    d: int,
    first: int,
    last: int,
    z: Floats,
    cursors: NDArray[np.int32],
    sparse: Doubles,
) -> None:
    cursor, end, total = cursors[d], batch.starts[d + 1], 0.0
    while cursor < end and batch.columns[cursor] < last:
        total += batch.values[cursor] * z[np.uint32(batch.columns[cursor] - first)]
        cursor += 1
    cursors[d] = cursor
    sparse[d] += total


@inner
def _subtract_counts(
    batch: Documents,
    d: int,
    first: int,
    last: int,
    ratio: float,
    e: Floats,
    cursors: NDArray[np.int32],
) -> None:
    cursor, end = cursors[d], batch.starts[d + 1]
    while cursor < end and batch.columns[cursor] < last:
        e[np.uint32(batch.columns[cursor] - first)] -= batch.values[cursor] * ratio
        cursor += 1
    cursors[d] = cursor


@inner
def highest_logits(parameters: Parameters, topics: int, rows: int, words: int, work: Work) -> None:
    """Set the shift of each document to its greatest logit."""
    size = work.gradient.shape[2]
    for d in range(rows):
        work.shift[d] = -np.inf
    for begin in range(0, words, size):
        end = min(begin + size, words)
        for d in range(0, rows, 4):
            z = work.block[0]
            _logits(
                work.theta, d, (topics + 3) // 4 * 4, parameters.weight, parameters.bias, begin,
                end, z, 0, 0,
            )  # fmt: skip
            for i in range(4):
                work.shift[d + i] = _highest(z[i, : end - begin], work.shift[d + i])


@inner
def backward(
    rule: int,
    parameters: Parameters,
    a: Parameters,
    b: Parameters,
    topics: int,
    batch: Documents,
    rows: int,
    first: int,
    last: int,
    part: int,
    decay: float,
    settings: Floats,
    work: Work,
) -> None:
    """Leave the gradient by theta behind and step the decoder, for words in [first, last).

    Args:
        rule: The optimizer.
        parameters: The decoder's are changed.
        a: The optimizer's first state, or what stands for it.
        b: Its second.
        topics: Number of topics.
        batch: The documents.
        rows: Their number, filled up.
        first: First word.
        last: The one after the last word.
        part: Which part of the vocabulary that is, for what is kept apart in `work`.
        decay: Weight decay.
        settings: See :mod:`ntm_ray.model.cpu.update`.
        work: What :func:`forward` left, ratio and scaled are read; product is set.
    """
    theta, weight, bias = work.theta, parameters.weight, parameters.bias
    cursors, product, gradient = work.cursors[part, :rows], work.product[part], work.gradient[part]
    size = gradient.shape[1]
    inner = (topics + 3) // 4 * 4
    kept = work.kept.shape[0] > 0
    product[:rows] = ZERO
    _begin(batch, first, cursors)
    for begin in range(first, last, size):
        end = min(begin + size, last)
        n = end - begin
        gradient[:, :n] = ZERO
        for d in range(0, rows, ROWS):
            e, at, left = (work.kept, d, begin) if kept else (work.block[part], 0, 0)
            if not kept:
                for i in range(0, ROWS, 4):
                    _logits(theta, d + i, inner, weight, bias, begin, end, e, i, 0)
                for i in range(ROWS):
                    _exponentiate(e[i, :n], work.shift[d + i])
            for i in range(ROWS):
                _subtract_counts(
                    batch, d + i, begin, end, work.ratio[d + i],
                    e[at + i, left : left + n], cursors,
                )  # fmt: skip
            _products(e, at, left, weight, begin, end, product, d)
            _products(e, at + 4, left, weight, begin, end, product, d + 4)
            _add_gradient(e, at, left, work.scaled, d, n, gradient)
        for k in range(topics):
            update(
                rule, weight[k, begin:end], gradient[k, :n], a.weight[k, begin:end],
                b.weight[k, begin:end], decay, settings,
            )  # fmt: skip
        update(
            rule, bias[begin:end], gradient[topics, :n], a.bias[begin:end], b.bias[begin:end],
            0.0, settings,
        )  # fmt: skip
