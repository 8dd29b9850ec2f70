"""An epoch's batches on several threads, which share the vocabulary.

The pieces of a step are compiled anew here, as functions that Python can call; only who trains
with several threads waits for that.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from ntm_ray.model.cpu import decoder, step, update
from ntm_ray.model.cpu.arithmetic import compiled
from ntm_ray.model.cpu.layout import ROWS, filled

if TYPE_CHECKING:
    from ntm_ray.model.cpu.arithmetic import Floats, Integers
    from ntm_ray.model.cpu.epoch import Counts, Rule
    from ntm_ray.model.cpu.layout import Documents, Parameters, Shape, Work


@compiled
def _begin(
    rule: Rule, done: int, shape: Shape, parameters: Parameters, counts: Counts, chosen: Integers,
    noise: Floats, batch: Documents, work: Work,
) -> int:  # fmt: skip
    found = step.make_ready(
        rule.number, parameters, rule.a, rule.b, counts.starts, counts.columns, counts.values,
        chosen, batch, rule.last_steps, done, rule.decay, rule.settings, rule.rates,
    )  # fmt: skip
    step.begin(shape, parameters, batch, noise, True, work)
    return found


@compiled
def _forward(
    parameters: Parameters, topics: int, batch: Documents, rows: int, first: int, last: int,
    part: int, work: Work,
) -> None:  # fmt: skip
    decoder.forward(parameters, topics, batch, rows, first, last, part, work)


@compiled
def _sums_in_range(documents: int, work: Work) -> bool:
    return step.sums_in_range(documents, work)


@compiled
def _highest_logits(
    parameters: Parameters, topics: int, rows: int, words: int, work: Work
) -> None:
    decoder.highest_logits(parameters, topics, rows, words, work)


@compiled
def _combine(shape: Shape, batch: Documents, documents: int, work: Work) -> None:
    step.combine(shape, batch, documents, work)


@compiled
def _backward(
    rule: Rule, parameters: Parameters, topics: int, batch: Documents, rows: int, first: int,
    last: int, part: int, work: Work,
) -> None:  # fmt: skip
    decoder.backward(
        rule.number, parameters, rule.a, rule.b, topics, batch, rows, first, last, part,
        rule.decay, rule.settings, work,
    )  # fmt: skip


@compiled
def _finish(
    rule: Rule, shape: Shape, parameters: Parameters, batch: Documents, found: int, noise: Floats,
    work: Work,
) -> None:  # fmt: skip
    step.finish(
        rule.number, shape, parameters, rule.a, rule.b, batch, found, noise, rule.decay,
        rule.settings, work,
    )  # fmt: skip


@compiled
def _settle(rule: Rule, done: int, parameters: Parameters) -> None:
    update.refresh_rows(
        rule.number, rule.every_word, parameters.rows, rule.a.rows, rule.b.rows, rule.last_steps,
        done, rule.decay, rule.settings, rule.rates,
    )  # fmt: skip


def train_together(
    threads: int,
    rule: Rule,
    done: int,
    settle: bool,
    shape: Shape,
    parameters: Parameters,
    counts: Counts,
    documents: Integers,
    noise: Floats,
    size: int,
    batch: Documents,
    work: Work,
) -> None:
    """Do what :func:`ntm_ray.model.cpu.epoch.run` does in training, on several threads.

    Args:
        threads: How many; `work` has a part for each.
        rule: The optimizer.
        done: How many steps it has done.
        settle: Whether to bring all rows up to date in the end.
        shape: Sizes.
        parameters: What is trained.
        counts: The corpus.
        documents: Numbers of documents, in order.
        noise: Standard normal noise ``(documents, topics)``.
        size: Documents a batch.
        batch: Memory for one.
        work: More of it.
    """
    topics, words = shape.topics, shape.vocabulary
    bounds = [int(bound) for bound in np.linspace(0, words, threads + 1)]
    parts = [(first, last, n) for n, (first, last) in enumerate(itertools.pairwise(bounds))]
    with ThreadPoolExecutor(
        threads, initializer=torch.set_flush_denormal, initargs=(True,)
    ) as pool:
        for first in range(0, len(documents), size):
            chosen, e = documents[first : first + size], noise[first : first + size]
            rows = filled(len(chosen), ROWS)

            def forward(part: tuple[int, int, int], rows: int = rows) -> None:
                _forward(parameters, topics, batch, rows, *part, work)

            def backward(part: tuple[int, int, int], rows: int = rows) -> None:
                _backward(rule, parameters, topics, batch, rows, *part, work)

            found = _begin(rule, done, shape, parameters, counts, chosen, e, batch, work)
            list(pool.map(forward, parts))
            if not _sums_in_range(len(chosen), work):
                _highest_logits(parameters, topics, rows, words, work)
                list(pool.map(forward, parts))
                _sums_in_range(len(chosen), work)
            _combine(shape, batch, len(chosen), work)
            list(pool.map(backward, parts))
            _finish(rule, shape, parameters, batch, found, e, work)
            done += 1
    if settle and rule.last_steps.size:
        _settle(rule, done, parameters)
