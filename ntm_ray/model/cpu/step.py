"""One training step on a CPU, in pieces.

They are :func:`make_ready`, :func:`begin`, :func:`ntm_ray.model.cpu.decoder.forward`,
:func:`sums_in_range`, :func:`combine`, :func:`ntm_ray.model.cpu.decoder.backward` and
:func:`finish`. The decoder's two work on a range of the vocabulary, which threads can share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.model.cpu.arithmetic import ONE, ZERO, exponential, inner, reassociating
from ntm_ray.model.cpu.encoder import (
    encode,
    encode_backward,
    gather,
    matrix,
    update_words,
)
from ntm_ray.model.cpu.layout import filled_rows
from ntm_ray.model.cpu.update import refresh_rows, update

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.model.cpu.arithmetic import Floats, Integers
    from ntm_ray.model.cpu.layout import Documents, Parameters, Shape, Work

_LEAST_SUM, _GREATEST_SUM = 1e-20, 1e30
"""A sum of exponentials beyond has lost terms to float32's least number, or nearly overflows."""


@reassociating
def sample(heads: Floats, noise: Floats, topics: int, work: Work) -> None:
    """Draw theta = softmax(mean + sigma noise) for each document, and keep sigma.

    Args:
        heads: Mean and log sigma side by side, each filled up; rows filled up too.
        noise: Standard normal noise, ``(documents, topics)``.
        topics: Number of topics.
        work: Theta and sigma are set.
    """
    half = heads.shape[1] // 2
    for d in range(noise.shape[0]):
        mean, log_sigma, e = heads[d, :half], heads[d, half:], noise[d]
        theta, sigma = work.theta[d], work.sigma[d]
        highest = np.float32(-np.inf)
        for k in range(topics):
            sigma[k] = exponential(log_sigma[k])
            theta[k] = mean[k] + sigma[k] * e[k]
        for k in range(topics):
            highest = theta[k] if theta[k] > highest else highest
        total = ZERO
        for k in range(topics):
            x = exponential(theta[k] - highest)
            theta[k] = x
            total += x
        for k in range(topics):
            theta[k] /= total
    for d in range(noise.shape[0], heads.shape[0]):
        work.theta[d, :] = ZERO


@inner
def begin(
    shape: Shape, parameters: Parameters, batch: Documents, noise: Floats, training: bool,
    work: Work,
) -> None:  # fmt: skip
    """Encode the documents of a batch, and sample their topic weights."""
    documents = noise.shape[0]
    heads = encode(shape, parameters, batch, documents, training, work)
    sample(heads, noise, shape.topics, work)
    for d in range(filled_rows(documents)):
        # Of the documents that fill up the batch no exponential is more than 0.
        work.shift[d] = ZERO if d < documents else np.float32(np.inf)


@inner
def sums_in_range(documents: int, work: Work) -> bool:
    """Add up what parts of the vocabulary left; say whether sums of exponentials can be used.

    Softmax needs no greatest logit taken off unless exponentials overflow or all but vanish.
    """
    for part in range(1, work.sums.shape[0]):
        for d in range(documents):
            work.sums[0, d] += work.sums[part, d]
            work.sparse[0, d] += work.sparse[part, d]
    usable = True
    for d in range(documents):
        usable &= _LEAST_SUM < work.sums[0, d] < _GREATEST_SUM
    return usable


@inner
def combine(shape: Shape, batch: Documents, documents: int, work: Work) -> None:
    """Add the losses of a batch, and make ready for the way back."""
    rows, topics, half = filled_rows(documents), shape.topics, shape.widths[-1] // 2
    hidden = shape.widths[:-1].sum()
    heads = matrix(work.outputs, rows * hidden, rows, shape.widths[-1])
    for d in range(documents):
        n, total = np.float64(batch.tokens[d]), work.sums[0, d]
        mean, log_sigma, sigma = heads[d, :half], heads[d, half:], work.sigma[d]
        recons = n * (np.log(total) + work.shift[d]) - work.sparse[0, d]
        kld = 0.0
        for k in range(topics):
            kld += mean[k] * mean[k] + sigma[k] * sigma[k] - ONE - (log_sigma[k] + log_sigma[k])
        if n > 0:
            work.losses[0] += recons / n
            work.losses[1] += 0.5 * kld / n
            work.losses[2] += 1
        scale = np.float32(n / total)
        work.ratio[d] = np.float32(total / n) if n > 0 else ZERO
        for k in range(topics):
            work.scaled[d, k] = scale * work.theta[d, k]
        work.scaled[d, topics] = scale
    for d in range(documents, rows):
        work.ratio[d] = ZERO
        work.scaled[d, :] = ZERO


@reassociating
def sample_backward(shape: Shape, documents: int, noise: Floats, work: Work) -> None:
    """Take the gradient by theta back to the heads, and add that of the KL divergence.

    ::

        d_h = theta (d_theta - theta . d_theta)     d_mean = d_h + mean
        d_log_sigma = d_h sigma noise + sigma^2 - 1
    """
    rows, topics, half = filled_rows(documents), shape.topics, shape.widths[-1] // 2
    hidden = shape.widths[:-1].sum()
    heads = matrix(work.outputs, rows * hidden, rows, shape.widths[-1])
    out = matrix(work.d[0], 0, rows, shape.widths[-1])
    for part in range(1, work.product.shape[0]):
        for d in range(documents):
            for k in range(topics):
                work.product[0, d, k] += work.product[part, d, k]
    out[:, :] = ZERO
    for d in range(documents):
        mean, theta, sigma = heads[d, :half], work.theta[d], work.sigma[d]
        d_mean, d_log_sigma = out[d, :half], out[d, half:]
        product, e, scale = work.product[0, d], noise[d], work.scaled[d, topics]
        along = ZERO
        for k in range(topics):
            along += theta[k] * product[k]
        for k in range(topics):
            d_h = scale * theta[k] * (product[k] - along)
            d_mean[k] = d_h + mean[k]
            d_log_sigma[k] = d_h * sigma[k] * e[k] + (sigma[k] * sigma[k] - ONE)


@inner
def finish(
    rule: int,
    shape: Shape,
    parameters: Parameters,
    a: Parameters,
    b: Parameters,
    batch: Documents,
    found: int,
    noise: Floats,
    decay: float,
    settings: Floats,
    work: Work,
) -> None:
    """Take the gradient from theta back through the encoder, and step the encoder."""
    documents = noise.shape[0]
    sample_backward(shape, documents, noise, work)
    d = encode_backward(shape, parameters, documents, work)
    update(rule, parameters.dense, work.dense, a.dense, b.dense, decay, settings)
    update(rule, parameters.offsets, work.offsets, a.offsets, b.offsets, 0.0, settings)
    update_words(rule, batch, found, d, parameters, a, b, work.rows, decay, settings)


@inner
def make_ready(
    rule: int,
    parameters: Parameters,
    a: Parameters,
    b: Parameters,
    starts: Integers,
    columns: Integers,
    values: Floats,
    chosen: Integers,
    batch: Documents,
    last_steps: NDArray[np.int64],
    step: int,
    decay: float,
    settings: Floats,
    rates: Floats,
) -> int:
    """Gather a batch and bring the rows of its words up to date; return how many words occur.

    Args:
        rule: The optimizer.
        parameters: Those that rows of are brought up to date.
        a: The optimizer's first state.
        b: Its second.
        starts: Where each document of the corpus starts, and the end.
        columns: The word of each entry.
        values: The count of each entry.
        chosen: The documents of the batch.
        batch: Is filled.
        last_steps: The last step of each row; empty where rows do not fall behind.
        step: How many steps were done before this one.
        decay: Weight decay.
        settings: See :mod:`ntm_ray.model.cpu.update`; takes the rate of this step.
        rates: The rate of each step, ``(more than step + 1,)``.
    """
    settings[2] = rates[step + 1]
    found = gather(starts, columns, values, chosen, batch)
    if last_steps.size > 0:
        refresh_rows(
            rule, batch.words[:found], parameters.rows, a.rows, b.rows, last_steps, step, decay,
            settings, rates,
        )  # fmt: skip
        for j in range(found):
            last_steps[np.uint32(batch.words[j])] = step + 1
    return found
