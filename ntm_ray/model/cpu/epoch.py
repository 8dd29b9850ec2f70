"""An epoch's batches, one after the other in compiled code, on one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntm_ray.model.cpu import decoder
from ntm_ray.model.cpu.arithmetic import compiled
from ntm_ray.model.cpu.encoder import read
from ntm_ray.model.cpu.layout import filled_rows
from ntm_ray.model.cpu.step import begin, combine, finish, make_ready, sums_in_range
from ntm_ray.model.cpu.update import refresh_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from ntm_ray.model.cpu.arithmetic import Floats, Integers
    from ntm_ray.model.cpu.layout import Documents, Parameters, Shape, Work


class Counts(NamedTuple):
    """The documents of a corpus, as the arrays of a CSR matrix; they are not written to.

    Attributes:
        starts: Where each document starts, and the end.
        columns: The word of each entry, rising within a document.
        values: The count of each entry.
    """

    starts: NDArray[np.int32]
    columns: NDArray[np.int32]
    values: Floats


def counts_of(counts: csr_matrix) -> Counts:
    """Return a matrix's arrays, read-only whatever they were, so that one compiled code fits."""
    return counts_of_arrays(counts.indptr, counts.indices, counts.data)


def counts_of_arrays(starts: NDArray[Any], columns: NDArray[Any], values: NDArray[Any]) -> Counts:
    """Return the arrays of a CSR matrix, as :func:`counts_of` does."""
    arrays = (
        np.ascontiguousarray(starts, dtype=np.int32),
        np.ascontiguousarray(columns, dtype=np.int32),
        np.ascontiguousarray(values, dtype=np.float32),
    )
    views = Counts(*(array.view(np.ndarray) for array in arrays))
    for view in views:
        view.flags.writeable = False
    return views


class Rule(NamedTuple):
    """An optimizer, its state, and what it goes by.

    Attributes:
        number: Which of :data:`ntm_ray.model.cpu.update.RULES`.
        a: Its first state; the parameters where it keeps none.
        b: Its second.
        last_steps: The last step of each row of the encoder; empty where rows need no care.
        every_word: All numbers of words.
        decay: Weight decay.
        settings: Rescaling, clipping and the rate of the step; see `update`.
        rates: The rate of each step, ``(more than the steps,)``.
    """

    number: int
    a: Parameters
    b: Parameters
    last_steps: NDArray[np.int64]
    every_word: NDArray[np.int32]
    decay: float
    settings: Floats
    rates: Floats


@compiled
def run(
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
) -> None:
    """Add the losses of documents to ``work.losses``, and train on them if wanted.

    Args:
        training: Whether to step; else running statistics are used, and nothing changes.
        rule: The optimizer.
        step: How many steps it has done.
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
    words, topics = shape.vocabulary, shape.topics
    found = 0
    for first in range(0, documents.size, size):
        last = min(first + size, documents.size)
        chosen, e = documents[first:last], noise[first:last]
        count = last - first
        rows = filled_rows(count)
        if training:
            found = make_ready(
                rule.number, parameters, rule.a, rule.b, counts.starts, counts.columns,
                counts.values, chosen, batch, rule.last_steps, step, rule.decay, rule.settings,
                rule.rates,
            )  # fmt: skip
        else:
            read(counts.starts, counts.columns, counts.values, chosen, batch)
        begin(shape, parameters, batch, e, training, work)
        # A second time only where sums of exponentials are of no use.
        for lowered in range(2):
            if lowered:
                decoder.highest_logits(parameters, topics, rows, words, work)
            decoder.forward(parameters, topics, batch, rows, 0, words, 0, work)
            if sums_in_range(count, work):
                break
        combine(shape, batch, count, work)
        if training:
            step += 1
            decoder.backward(
                rule.number, parameters, rule.a, rule.b, topics, batch, rows, 0, words, 0,
                rule.decay, rule.settings, work,
            )  # fmt: skip
            finish(
                rule.number, shape, parameters, rule.a, rule.b, batch, found, e, rule.decay,
                rule.settings, work,
            )  # fmt: skip
    if settle and rule.last_steps.size > 0:
        refresh_rows(
            rule.number, rule.every_word, parameters.rows, rule.a.rows, rule.b.rows,
            rule.last_steps, step, rule.decay, rule.settings, rule.rates,
        )  # fmt: skip
