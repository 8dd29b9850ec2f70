"""An epoch's batches where a hyperparameter of our own is set: what SageMaker NTM has not.

It is :func:`ntm_ray.model.cpu.epoch.run` with more in it. The faithful model does not pass here,
so that its code, and each of its bits, are its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntm_ray.model.cpu import decoder
from ntm_ray.model.cpu.arithmetic import ONE, ZERO, compiled, inner, reassociating
from ntm_ray.model.cpu.divergence import concentrations, normal_divergence, weibull_divergence
from ntm_ray.model.cpu.encoder import (
    encode,
    encode_backward,
    matrix,
    read,
    update_words,
)
from ntm_ray.model.cpu.layout import filled_rows, zeros
from ntm_ray.model.cpu.mixture import Mixture, decode, mixture_of, prepare, step_decoder
from ntm_ray.model.cpu.refinement import learn_refined
from ntm_ray.model.cpu.step import make_ready, sample, sums_in_range
from ntm_ray.model.cpu.uniform import uniform
from ntm_ray.model.cpu.update import refresh_rows, update
from ntm_ray.model.prior import NEW, greatest_log_sigma

if TYPE_CHECKING:
    from ntm_ray.model.cpu.arithmetic import Doubles, Floats, Integers
    from ntm_ray.model.cpu.epoch import Counts, Rule
    from ntm_ray.model.cpu.layout import Documents, Parameters, Shape, Work
    from ntm_ray.model.hyperparameters import Hyperparameters


class Variant(NamedTuple):
    """What differs from the faithful model, and memory for it.

    Attributes:
        mixes: Whether topics are distributions that theta mixes.
        damps: Whether the encoder reads logarithms of counts.
        dirichlet: Whether the prior is a Dirichlet distribution; see
            :mod:`ntm_ray.model.prior`.
        learns: Whether its concentrations follow the documents.
        concentration: Its concentration for each topic, ``(topics,)``.
        prior_mean: What they are worked out from where they follow, ``(topics,)``.
        log_weights: Sums of a batch's means of logarithms of weights, ``(topics,)``.
        greatest_log_sigma: What log sigma is held to with it.
        kl_weight: Weight of the KL divergence in the gradient.
        dropout: Part of the words that the encoder does not read in training.
        refinement: Rounds that topic weights are refined by.
        apart: What parts topics; see :mod:`ntm_ray.model.diversity`.
        decoder_settings: As the optimizer's settings, for the decoder.
        decoder_rate: The decoder's learning rate over the encoder's.
        counts: The counts of a batch, where the encoder reads others.
        pull: Gradients of the KL divergence by mean, then by log sigma, ``(2, documents,
            topics)``.
        mixture: Memory of the decoder.
    """

    mixes: bool
    damps: bool
    dirichlet: bool
    learns: bool
    concentration: Doubles
    prior_mean: Floats
    log_weights: Doubles
    greatest_log_sigma: float
    kl_weight: float
    dropout: float
    refinement: int
    apart: float
    decoder_settings: Floats
    decoder_rate: float
    counts: Floats
    pull: Floats
    mixture: Mixture


def variant_of(
    hyperparameters: Hyperparameters,
    shape: Shape,
    documents: int,
    entries: int,
    *,
    training: bool,
    apart: float = 0.0,
) -> Variant:
    """Return what differs, with memory for at most so many documents and entries."""
    own = hyperparameters.extensions
    mixes = own.decoder == "mixture"
    settings = [hyperparameters.rescale_gradient, hyperparameters.clip_gradient, 0.0]
    return Variant(
        mixes=mixes,
        damps=own.encoder_input == "log",
        dirichlet=own.prior_concentration > 0,
        learns=own.learns_prior,
        concentration=np.full(shape.topics, own.prior_concentration),
        prior_mean=np.zeros(shape.topics, dtype=np.float32),
        log_weights=np.zeros(shape.topics),
        greatest_log_sigma=(
            greatest_log_sigma(own.prior_concentration) if own.prior_concentration else np.inf
        ),
        kl_weight=own.kl_weight,
        dropout=own.encoder_dropout,
        refinement=own.refines,
        apart=apart,
        decoder_settings=np.array(settings, dtype=np.float32),
        decoder_rate=own.decoder_rate,
        counts=zeros(entries),
        pull=zeros(2, documents, shape.topics),
        mixture=mixture_of(shape, documents, training=training, used=mixes),
    )


@inner
def _damp(damps: bool, batch: Documents, documents: int, found: int, counts: Floats) -> None:
    """Keep the counts of a batch apart, and put what the encoder reads in their place."""
    for j in range(batch.starts[documents]):
        counts[j] = batch.values[j]
    if not damps:
        return
    for j in range(batch.starts[documents]):
        batch.values[j] = np.float32(math.log1p(batch.values[j]))
    for j in range(batch.word_starts[found] if found else 0):
        batch.word_values[j] = np.float32(math.log1p(batch.word_values[j]))


@inner
def _drop(batch: Documents, documents: int, found: int, part: float, seeds: Integers) -> None:
    """Hide some words of each document from the encoder; others weigh more for it."""
    kept = np.float32(1.0 / (1.0 - part))
    for d in range(documents):
        for j in range(batch.starts[d], batch.starts[d + 1]):
            dropped = uniform(batch.columns[j], seeds[d]) < part
            batch.values[j] = ZERO if dropped else kept * batch.values[j]
    for i in range(found):
        for j in range(batch.word_starts[i], batch.word_starts[i + 1]):
            dropped = uniform(batch.words[i], seeds[batch.word_documents[j]]) < part
            batch.word_values[j] = ZERO if dropped else kept * batch.word_values[j]


@inner
def _restore(batch: Documents, documents: int, counts: Floats) -> None:
    for j in range(batch.starts[documents]):
        batch.values[j] = counts[j]


@inner
def _combine(
    shape: Shape, batch: Documents, documents: int, training: bool, work: Work, variant: Variant
) -> None:
    """Add the losses of a batch, and make ready for the way back; a prior that learns goes on."""
    rows, topics, half = filled_rows(documents), shape.topics, shape.widths[-1] // 2
    heads = matrix(work.outputs, rows * shape.widths[:-1].sum(), rows, shape.widths[-1])
    variant.log_weights[:] = 0.0
    for d in range(documents):
        n, total = np.float64(batch.tokens[d]), work.sums[0, d]
        mean, log_sigma, sigma = heads[d, :half], heads[d, half:], work.sigma[d]
        pull_mean, pull_sigma = variant.pull[0, d], variant.pull[1, d]
        if variant.mixes:
            recons, scale = -work.sparse[0, d], ONE
        else:
            recons = n * (np.log(total) + work.shift[d]) - work.sparse[0, d]
            scale = np.float32(n / total)
        if variant.dirichlet:
            kld = weibull_divergence(
                mean, log_sigma, sigma, topics, variant.concentration, pull_mean, pull_sigma,
                variant.log_weights,
            )  # fmt: skip
        else:
            kld = normal_divergence(mean, log_sigma, sigma, topics, pull_mean, pull_sigma)
        if n > 0:
            work.losses[0] += recons / n
            work.losses[1] += kld / n
            work.losses[2] += 1
        work.ratio[d] = np.float32(total / n) if n > 0 else ZERO
        for k in range(topics):
            work.scaled[d, k] = scale * work.theta[d, k]
        work.scaled[d, topics] = scale
    if variant.learns and training:
        for k in range(topics):
            mean_log = np.float32(variant.log_weights[k] / documents)
            variant.prior_mean[k] += np.float32(NEW) * (mean_log - variant.prior_mean[k])
    for d in range(documents, rows):
        work.ratio[d] = ZERO
        work.scaled[d, :] = ZERO


@reassociating
def _sample_backward(
    shape: Shape, documents: int, noise: Floats, work: Work, variant: Variant
) -> None:
    """Take the gradient by theta back to the heads, and add that of the KL divergence.

    ::

        d_h = theta (d_theta - theta . d_theta)     d_mean = d_h + weight pull_mean
        d_log_sigma = d_h sigma noise + weight pull_sigma, or 0 at the bound
    """
    rows, pull = filled_rows(documents), variant.pull
    heads = matrix(work.outputs, rows * shape.widths[:-1].sum(), rows, shape.widths[-1])
    bound = np.float32(variant.greatest_log_sigma)
    out = matrix(work.d[0], 0, rows, shape.widths[-1])
    topics, half, w = shape.topics, shape.widths[-1] // 2, np.float32(variant.kl_weight)
    out[:, :] = ZERO
    for d in range(documents):
        theta, sigma, pull_mean, pull_sigma = work.theta[d], work.sigma[d], pull[0, d], pull[1, d]
        d_mean, d_log_sigma = out[d, :half], out[d, half:]
        product, e, scale = work.product[0, d], noise[d], work.scaled[d, topics]
        along = ZERO
        for k in range(topics):
            along += theta[k] * product[k]
        for k in range(topics):
            d_h = scale * theta[k] * (product[k] - along)
            d_mean[k] = d_h + w * pull_mean[k]
            d_log_sigma[k] = d_h * sigma[k] * e[k] + w * pull_sigma[k]
        for k in range(topics):
            d_log_sigma[k] = ZERO if heads[d, half + k] >= bound else d_log_sigma[k]


@inner
def _begin(
    shape: Shape, parameters: Parameters, batch: Documents, found: int, noise: Floats,
    seeds: Integers, training: bool, work: Work, variant: Variant,
) -> None:  # fmt: skip
    documents = noise.shape[0]
    rows = filled_rows(documents)
    if variant.learns:
        concentrations(variant.prior_mean, variant.concentration)
    _damp(variant.damps, batch, documents, found, variant.counts)
    if training and variant.dropout > 0.0:
        _drop(batch, documents, found, variant.dropout, seeds)
    heads = encode(shape, parameters, batch, documents, training, work)
    _restore(batch, documents, variant.counts)
    if variant.dirichlet:
        bound, half = np.float32(variant.greatest_log_sigma), heads.shape[1] // 2
        for d in range(documents):
            for k in range(half, half + shape.topics):
                # Not a minimum, which would make a number of NaN.
                heads[d, k] = bound if heads[d, k] > bound else heads[d, k]
    sample(heads, noise, shape.topics, work)
    for d in range(rows):
        work.shift[d] = ZERO if d < documents else np.float32(np.inf)


@inner
def _forward(
    shape: Shape, parameters: Parameters, batch: Documents, found: int, noise: Floats,
    training: bool, work: Work, variant: Variant,
) -> None:  # fmt: skip
    documents = noise.shape[0]
    if variant.mixes:
        refines = training and variant.refinement > 0
        decode(
            batch, variant.counts, found, documents, shape.topics, training,
            training and not refines, work, variant.mixture,
        )  # fmt: skip
        if refines:
            learn_refined(
                batch, variant.counts, shape.topics, variant.refinement, variant.concentration,
                noise, variant.mixture,
            )  # fmt: skip
        return
    rows = filled_rows(documents)
    for lowered in range(2):
        if lowered:
            decoder.highest_logits(parameters, shape.topics, rows, shape.vocabulary, work)
        decoder.forward(parameters, shape.topics, batch, rows, 0, shape.vocabulary, 0, work)
        if sums_in_range(documents, work):
            break


@inner
def _backward(
    rule: Rule, shape: Shape, parameters: Parameters, batch: Documents, found: int, noise: Floats,
    work: Work, variant: Variant,
) -> None:  # fmt: skip
    documents = noise.shape[0]
    rows = filled_rows(documents)
    variant.decoder_settings[2] = np.float32(rule.settings[2] * variant.decoder_rate)
    if not variant.mixes:
        decoder.backward(
            rule.number, parameters, rule.a, rule.b, shape.topics, batch, rows, 0,
            shape.vocabulary, 0, rule.decay, variant.decoder_settings, work,
        )  # fmt: skip
    _sample_backward(shape, documents, noise, work, variant)
    if variant.mixes:
        step_decoder(
            rule.number, parameters, rule.a, rule.b, batch, found, documents, shape.topics,
            shape.vocabulary, rule.decay, variant.decoder_settings, work, variant.mixture,
            variant.apart,
        )  # fmt: skip
    d = encode_backward(shape, parameters, documents, work)
    a, b, decay, settings = rule.a, rule.b, rule.decay, rule.settings
    update(rule.number, parameters.dense, work.dense, a.dense, b.dense, decay, settings)
    update(rule.number, parameters.offsets, work.offsets, a.offsets, b.offsets, 0.0, settings)
    update_words(rule.number, batch, found, d, parameters, a, b, work.rows, decay, settings)


@compiled
def run_variant(
    training: bool,
    rule: Rule,
    step: int,
    settle: bool,
    shape: Shape,
    parameters: Parameters,
    counts: Counts,
    documents: Integers,
    noise: Floats,
    size: int,
    batch: Documents,
    work: Work,
    seeds: Integers,
    variant: Variant,
) -> None:
    """Do what :func:`ntm_ray.model.cpu.epoch.run` does, whose arguments these are.

    Besides there are `seeds`, a number for each of `documents` that says which words the encoder
    does not read in training; see :mod:`ntm_ray.model.dropout`.

    Losses are with the whole KL divergence, whatever its weight in the gradient.
    """
    found = 0
    if variant.mixes and not training:
        prepare(parameters, shape.topics, shape.vocabulary, variant.mixture)
    for first in range(0, documents.size, size):
        last = min(first + size, documents.size)
        chosen, e = documents[first:last], noise[first:last]
        if training:
            found = make_ready(
                rule.number, parameters, rule.a, rule.b, counts.starts, counts.columns,
                counts.values, chosen, batch, rule.last_steps, step, rule.decay, rule.settings,
                rule.rates,
            )  # fmt: skip
            if variant.mixes:
                prepare(parameters, shape.topics, shape.vocabulary, variant.mixture)
        else:
            read(counts.starts, counts.columns, counts.values, chosen, batch)
        _begin(
            shape, parameters, batch, found, e, seeds[first:last], training, work, variant,
        )  # fmt: skip
        _forward(shape, parameters, batch, found, e, training, work, variant)
        _combine(shape, batch, last - first, training, work, variant)
        if training:
            step += 1
            _backward(rule, shape, parameters, batch, found, e, work, variant)
    if settle and rule.last_steps.size > 0:
        refresh_rows(
            rule.number, rule.every_word, parameters.rows, rule.a.rows, rule.b.rows,
            rule.last_steps, step, rule.decay, rule.settings, rule.rates,
        )  # fmt: skip
