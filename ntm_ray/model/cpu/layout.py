"""What compiled code works on: arrays in named tuples, laid out so that loops fill vectors.

Widths of layers are filled up to a multiple of `LANES` and the number of topics to a multiple of
4, with zeros that stay zeros: weights, gradients and optimizer state there are never read as
anything else, and loops have no odd ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntm_ray.model.cpu.arithmetic import inner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.model.cpu.arithmetic import Doubles, Floats, Integers
    from ntm_ray.model.hyperparameters import Hyperparameters

LANES = 16
"""Floats in a cache line and in the widest vector."""

BLOCK = 1024
"""Words that the decoder works on at a time, at most; the decoder of a block stays in a cache."""

_BLOCK_BYTES = 1 << 18
KEPT_BYTES = 1 << 22
"""Exponentials are kept for the way back up to this size; beyond, memory is slower than they."""

ROWS = 8
"""Documents that the decoder works on at a time; batches are filled up with empty ones."""

_GRADIENT_ROWS = 32
"""Rows of the first layer's weight that are changed at a time."""

SIGMOID, TANH, RELU = range(3)
ACTIVATIONS = {"sigmoid": SIGMOID, "tanh": TANH, "relu": RELU}


class Shape(NamedTuple):
    """Sizes of a network.

    Attributes:
        vocabulary: Number of words.
        topics: Number of topics.
        used: Width of each hidden layer, ``(layers,)``.
        widths: The same, filled up; then that of the heads, mean and log sigma side by side.
        activation: One of `SIGMOID`, `TANH`, `RELU`.
        batch_norm: Whether hidden layers are normalised.
    """

    vocabulary: int
    topics: int
    used: Integers
    widths: Integers
    activation: int
    batch_norm: bool


class Parameters(NamedTuple):
    """Everything that an optimizer changes, or a state that it keeps of it.

    Attributes:
        rows: The first layer's weight, ``(vocabulary, widths[0])``: a row a word.
        dense: Weights of the other layers and of the heads, one after the other, flat.
        offsets: Bias or beta of each layer, then the bias of the heads, flat.
        weight: The decoder's weight, ``(topics, vocabulary)``, both filled up.
        bias: The decoder's bias, ``(vocabulary,)``, filled up.
    """

    rows: Floats
    dense: Floats
    offsets: Floats
    weight: Floats
    bias: Floats


class Documents(NamedTuple):
    """The documents of a batch, and their transpose; arrays are as large as any batch needs.

    Attributes:
        starts: Where each document starts in `columns`, and the end.
        columns: The word of each entry, rising within a document.
        values: The count of each entry.
        tokens: Sum of the counts of each document.
        words: The words that occur, rising.
        word_starts: Where each of them starts in `word_documents`, and the end.
        word_documents: The document of each entry.
        word_values: The count of each entry.
        place: One number a word of the vocabulary, for sorting.
    """

    starts: NDArray[np.int32]
    columns: NDArray[np.int32]
    values: Floats
    tokens: Floats
    words: NDArray[np.int32]
    word_starts: NDArray[np.int32]
    word_documents: NDArray[np.int32]
    word_values: Floats
    place: NDArray[np.int32]


class Work(NamedTuple):
    """Memory for one batch at a time; ``documents`` is filled up to a multiple of `ROWS`.

    Attributes:
        outputs: Of each hidden layer and of the heads, flat.
        normalised: Of each hidden layer before its offset, flat; empty without normalisation.
        scale: What each unit was multiplied by when it was normalised.
        running: Running means, then running variances, ``(2, sum of widths)``.
        d: Gradients by outputs, two buffers that take turns, flat ``(2, ...)``.
        dense: Gradient of `Parameters.dense`.
        offsets: Gradient of `Parameters.offsets`.
        transposed: A layer's weight transposed, flat.
        rows: Gradient of some rows of the first layer's weight.
        theta: Topic weights, ``(documents, topics)``, filled up.
        sigma: Standard deviations, as theta.
        scaled: Theta, then a one, times tokens over the sum of exponentials.
        shift: What logits were lowered by.
        ratio: Sum of exponentials over tokens.
        sparse: Sum of counts times logits, ``(parts, documents)``.
        sums: Of exponentials, ``(parts, documents)``.
        cursors: The next entry of each document, ``(parts, documents)``.
        product: Gradient by theta but for a factor, ``(parts, documents, topics)``.
        gradient: Of a block of the decoder, ``(parts, topics + 1, block)``.
        kept: Exponentials of a batch, ``(documents, vocabulary)``; without rows if they are not
            kept.
        block: Exponentials of some documents and a block of words, ``(parts, ROWS, block)``.
        losses: Sums of nats a word: reconstruction, KL divergence; and number of documents.
    """

    outputs: Floats
    normalised: Floats
    scale: Floats
    running: Floats
    d: Floats
    dense: Floats
    offsets: Floats
    transposed: Floats
    rows: Floats
    theta: Floats
    sigma: Floats
    scaled: Floats
    shift: Floats
    ratio: Floats
    sparse: Doubles
    sums: Doubles
    cursors: NDArray[np.int32]
    product: Floats
    gradient: Floats
    kept: Floats
    block: Floats
    losses: Doubles


@inner
def filled_rows(documents: int) -> int:
    """Return the least multiple of `ROWS` that is not below `documents`."""
    return (documents + ROWS - 1) // ROWS * ROWS


def filled(size: int, multiple: int = LANES) -> int:
    """Return the least multiple of `multiple` that is not below `size`."""
    return -(-size // multiple) * multiple


def shape_of(hyperparameters: Hyperparameters) -> Shape:
    """Return the sizes of the network of some hyperparameters."""
    used = np.array(hyperparameters.layer_sizes, dtype=np.int64)
    heads = 2 * filled(hyperparameters.num_topics)
    widths = np.array([*(filled(int(n)) for n in used), heads], dtype=np.int64)
    return Shape(
        hyperparameters.feature_dim,
        hyperparameters.num_topics,
        used,
        widths,
        ACTIVATIONS[hyperparameters.encoder_layers_activation],
        hyperparameters.batch_norm,
    )


def zeros(*shape: int) -> Floats:
    """Return float32 zeros that start on a cache line: faster, and the same in every process."""
    size = int(np.prod(shape))
    flat = np.zeros(size + LANES, dtype=np.float32)
    start = (-flat.ctypes.data // flat.itemsize) % LANES
    return flat[start : start + size].reshape(shape)


def parameters_of(shape: Shape) -> Parameters:
    """Return parameters, all zero."""
    widths = shape.widths
    vocabulary = filled(shape.vocabulary)
    return Parameters(
        rows=zeros(shape.vocabulary, int(widths[0])),
        dense=zeros(int((widths[:-1] * widths[1:]).sum())),
        offsets=zeros(int(widths.sum())),
        weight=zeros(filled(shape.topics, 4), vocabulary),
        bias=zeros(vocabulary),
    )


def documents_of(entries: int, documents: int, vocabulary: int) -> Documents:
    """Return memory for batches of at most so many entries and documents."""
    columns, word_documents = np.zeros((2, entries), dtype=np.int32)
    values, word_values = np.zeros((2, entries), dtype=np.float32)
    rows = filled(documents, ROWS)
    words = min(entries, vocabulary)
    return Documents(
        starts=np.zeros(rows + 1, dtype=np.int32),
        columns=columns,
        values=values,
        tokens=np.zeros(rows, dtype=np.float32),
        words=np.zeros(words, dtype=np.int32),
        word_starts=np.zeros(words + 1, dtype=np.int32),
        word_documents=word_documents,
        word_values=word_values,
        place=np.zeros(vocabulary, dtype=np.int32),
    )


def work_of(shape: Shape, documents: int, parts: int, *, training: bool) -> Work:
    """Return memory for batches of at most so many documents, for so many threads."""
    rows, widths = filled(documents, ROWS), shape.widths
    topics, hidden, total = filled(shape.topics), int(widths[:-1].sum()), int(widths.sum())
    block = min(BLOCK, max(4 * LANES, _BLOCK_BYTES // (4 * topics) // LANES * LANES))
    keeps = training and 4 * rows * shape.vocabulary <= KEPT_BYTES
    parameters = parameters_of(shape._replace(vocabulary=1))
    widest = int(widths.max())
    return Work(
        outputs=zeros(rows * total),
        normalised=zeros(rows * hidden if shape.batch_norm else 0),
        scale=zeros(hidden),
        running=zeros(2, hidden),
        d=zeros(2, rows * widest if training else 0),
        dense=zeros(parameters.dense.size if training else 0),
        offsets=zeros(parameters.offsets.size),
        transposed=zeros(int((widths[:-1] * widths[1:]).max()) if training else 0),
        rows=zeros(_GRADIENT_ROWS, int(widths[0])),
        theta=zeros(rows, topics),
        sigma=zeros(rows, topics),
        scaled=zeros(rows, shape.topics + 1),
        shift=zeros(rows),
        ratio=zeros(rows),
        sparse=np.zeros((parts, rows)),
        sums=np.zeros((parts, rows)),
        cursors=np.zeros((parts, rows), dtype=np.int32),
        product=zeros(parts, rows if training else 0, topics),
        gradient=zeros(parts, shape.topics + 1, block),
        kept=zeros(rows if keeps else 0, filled(shape.vocabulary)),
        block=zeros(parts, ROWS, block),
        losses=np.zeros(3),
    )
