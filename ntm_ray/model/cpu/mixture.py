"""The decoder that mixes topics, on a CPU: each topic is a distribution over words.

With ``beta_k = softmax(w_k)`` over the vocabulary and x the counts of a document::

    p_v = sum_k theta_k beta_kv         recons = -sum_v x_v log p_v
    d_theta_k = -sum_v x_v beta_kv / p_v
    n_k = sum_d theta_dk (-d_theta_dk)  d_w_kv = beta_kv (n_k - sum_d theta_dk x_dv / p_dv)

Only words that a document holds enter its sums; what takes time over the whole vocabulary is one
exponential and one step of the optimizer for each weight, whatever the number of documents.
Exponentials are kept as they are, ``beta_kv = e_kv / z_k``: the divisor goes onto theta.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntm_ray.model.cpu.arithmetic import ONE, ZERO, exponential, inner, reassociating
from ntm_ray.model.cpu.layout import filled, zeros
from ntm_ray.model.cpu.update import update

if TYPE_CHECKING:
    from typing import Any

    from ntm_ray.model.cpu.arithmetic import Floats, Integers
    from ntm_ray.model.cpu.layout import Documents, Parameters, Shape, Work

_LEAST = np.float32(1e-30)
"""No probability of a word is taken for less."""


class Mixture(NamedTuple):
    """Memory for the decoder of one batch; without rows where topics are not mixed.

    Attributes:
        exponentials: ``exp(w_kv - max_v w_kv)``, ``(topics, vocabulary)``.
        by_word: The same by word, ``(vocabulary, topics)``, filled up.
        gradient: ``sum_d theta_dk / z_k x_dv / p_dv``, as `by_word`.
        totals: ``z_k``, ``(topics,)``, filled up.
        per_length: One over the length of each topic's `exponentials`, ``(topics,)``.
        units: Sum of all topics' `exponentials` at length 1, ``(vocabulary,)``, filled up.
        shares: Theta over `totals` of each document, ``(documents, topics)``, filled up.
        d_shares: ``sum_v x_v e_kv / p_v`` of each document, as `shares`.
    """

    exponentials: Floats
    by_word: Floats
    gradient: Floats
    totals: Floats
    per_length: Floats
    units: Floats
    shares: Floats
    d_shares: Floats


def mixture_of(shape: Shape, documents: int, *, training: bool, used: bool) -> Mixture:
    """Return memory for batches of at most so many documents."""
    topics, words = filled(shape.topics), shape.vocabulary if used else 0
    rows = documents if used else 0
    return Mixture(
        exponentials=zeros(shape.topics if used else 0, filled(words)),
        by_word=zeros(words, topics),
        gradient=zeros(words if training else 0, topics),
        totals=zeros(topics),
        per_length=zeros(topics),
        units=zeros(filled(words)),
        shares=zeros(rows, topics),
        d_shares=zeros(rows, topics),
    )


@reassociating
def _exponentiate(weight: Floats, out: Floats) -> Any:
    """Set `out` to ``exp(weight - max(weight))`` and return its sum."""
    highest = np.float32(-np.inf)
    for j in range(out.size):
        highest = weight[j] if weight[j] > highest else highest
    total = ZERO
    for j in range(out.size):
        e = exponential(weight[j] - highest)
        out[j] = e
        total += e
    return total


@inner
def prepare(parameters: Parameters, topics: int, words: int, mixture: Mixture) -> None:
    """Make the exponentials of all weights, by topic and by word."""
    for k in range(topics):
        mixture.totals[k] = _exponentiate(
            parameters.weight[k, :words], mixture.exponentials[k, :words]
        )
    for first in range(0, words, 64):
        last = min(first + 64, words)
        for k in range(topics):
            row = mixture.exponentials[k]
            for j in range(first, last):
                mixture.by_word[j, k] = row[j]


@reassociating
def decode_document(
    begin: int, end: int, columns: Integers, counts: Floats, share: Floats, d_share: Floats,
    by_word: Floats, gradient: Floats, weighs: bool, learns: bool,
) -> float:  # fmt: skip
    """Return the log likelihood of one document.

    If it `weighs`, the gradient by shares is left in `d_share`; if it `learns`, that by the
    exponentials is added to `gradient` as well.
    """
    likelihood = 0.0
    for k in range(d_share.size):
        d_share[k] = ZERO
    for j in range(begin, end):
        word, count = np.uint32(columns[j]), counts[j]
        e = by_word[word]
        p = ZERO
        for k in range(share.size):
            p += share[k] * e[k]
        p = p if p > _LEAST else (_LEAST if p == p else p)
        likelihood += count * math.log(p)
        ratio = count / p
        if learns:
            g = gradient[word]
            for k in range(share.size):
                d_share[k] += ratio * e[k]
                g[k] += ratio * share[k]
        elif weighs:
            for k in range(share.size):
                d_share[k] += ratio * e[k]
    return likelihood


@inner
def decode(
    batch: Documents, counts: Floats, found: int, documents: int, topics: int, training: bool,
    learns: bool, work: Work, mixture: Mixture,
) -> None:  # fmt: skip
    """Set ``work.sparse[0]`` to the log likelihood of each document's words.

    In training ``work.product[0]`` becomes the gradient by theta as well; and that of the decoder
    is begun, and made if it `learns` from these weights.
    """
    for j in range(found if training else 0):
        mixture.gradient[np.uint32(batch.words[j])] = ZERO
    for d in range(documents):
        share, d_share = mixture.shares[d], mixture.d_shares[d]
        for k in range(topics):
            share[k] = work.theta[d, k] / mixture.totals[k]
        work.sparse[0, d] = decode_document(
            batch.starts[d], batch.starts[d + 1], batch.columns, counts, share, d_share,
            mixture.by_word, mixture.gradient, training, learns,
        )  # fmt: skip
        if training:
            for k in range(topics):
                work.product[0, d, k] = -d_share[k] / mixture.totals[k]


@reassociating
def _add_sums(shares: Floats, d_shares: Floats, documents: int, out: Floats) -> None:
    for k in range(out.size):
        out[k] = ZERO
    for d in range(documents):
        for k in range(out.size):
            out[k] += shares[d, k] * d_shares[d, k]


@reassociating
def _add_units(mixture: Mixture, topics: int, words: int) -> None:
    """Bring topics to length 1, and add them up."""
    units = mixture.units
    for j in range(words):
        units[j] = ZERO
    for k in range(topics):
        e, squares = mixture.exponentials[k], ZERO
        for j in range(words):
            squares += e[j] * e[j]
        each = ONE / np.sqrt(squares)  # the greatest exponential is 1
        for j in range(words):
            units[j] += e[j] * each
        mixture.per_length[k] = each


@reassociating
def _along(e: Floats, units: Floats, words: int) -> Any:
    total = ZERO
    for j in range(words):
        total += e[j] * units[j]
    return total


@inner
def step_decoder(
    rule: int, parameters: Parameters, a: Parameters, b: Parameters, batch: Documents, found: int,
    documents: int, topics: int, words: int, decay: float, settings: Floats, work: Work,
    mixture: Mixture, apart: float,
) -> None:  # fmt: skip
    """Step the weights of all topics, from what :func:`decode` left.

    `apart` is what :func:`ntm_ray.model.diversity.pull_apart` says.
    """
    sums, along = work.scaled[0], work.scaled[1]  # not used otherwise where topics are mixed
    _add_sums(mixture.shares, mixture.d_shares, documents, sums[:topics])
    if apart > 0.0:
        _add_units(mixture, topics, words)
        for k in range(topics):
            along[k] = mixture.per_length[k] * _along(
                mixture.exponentials[k], mixture.units, words
            )
    pull = np.float32(apart * documents)
    gradient = work.gradient[0]
    size = gradient.shape[1]
    at = 0
    for begin in range(0, words, size):
        end = min(begin + size, words)
        n = end - begin
        for k in range(topics):
            e, g, each = mixture.exponentials[k, begin:end], gradient[k], sums[k]
            # sums_k = n_k, since shares and d_shares hold 1 / z_k and z_k between them.
            divisor = ONE / mixture.totals[k]
            for j in range(n):
                g[j] = e[j] * divisor * each
            if apart > 0.0:
                each, units = mixture.per_length[k], mixture.units[begin:end]
                for j in range(n):
                    x = e[j] * each
                    g[j] += pull * x * (units[j] - x * along[k])
        while at < found and batch.words[at] < end:
            word = np.uint32(batch.words[at])
            row, column = mixture.gradient[word], word - begin
            for k in range(topics):
                gradient[k, column] -= mixture.exponentials[k, word] * row[k]
            at += 1
        for k in range(topics):
            update(
                rule, parameters.weight[k, begin:end], gradient[k, :n], a.weight[k, begin:end],
                b.weight[k, begin:end], decay, settings,
            )  # fmt: skip
