"""The memory that a training takes, computed from its hyperparameters and its corpus.

`benchmarks/memory.py` holds the estimate against what trainings really took.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ntm_ray.model.hyperparameters import Hyperparameters

_FLOAT = 4
_MIB = 1 << 20
_ACCUMULATORS = {"sgd": 0, "adam": 2, "adagrad": 1, "adadelta": 2, "rmsprop": 1}
# A process that has imported Ray, torch and the compiled learner, and one with a CUDA context.
_CPU_PROCESS = 380 * _MIB
CUDA_PROCESS = 600 * _MIB
"""What a process takes of a GPU before it trains anything, bytes."""
# What is kept of a batch at a time: exponentials in tiles (`decoder`, `cpu.arithmetic`).
_TILES = {"cpu": 4 * _MIB, "cuda": 256 * _MIB}
# Arrays of a number for each word and topic where topics are mixed: on a CPU of training and of
# evaluation (`cpu.mixture`), elsewhere of a step (`mixture_decoder`).
_LANES = 16  # topics are filled up to a multiple of it
_MIXED = {False: 5, True: 4}


@dataclass(frozen=True)
class CorpusSize:
    """How large a corpus is, as far as memory depends on it.

    Attributes:
        vocabulary: Number of words.
        documents: Number of training documents.
        entries: Number of counts that are stored of them: different words, summed over documents.
    """

    vocabulary: int
    documents: int
    entries: int


@dataclass(frozen=True)
class TrainingMemory:
    """The memory that a training takes on the device that it trains on, in bytes.

    Attributes:
        parameters: Weights and biases.
        optimizer: What the optimizer accumulates.
        gradient: Gradients that are kept whole.
        best: Copies of the best epoch's parameters, the newest and the one before, which are there
            together for a moment; they lie on the host.
        batch: Activations, entries and exponentials of a mini-batch.
        mixture: Distributions over words and their gradients, where topics are mixed.
        corpus: The training documents, where each trial holds its own; on a CPU all trials of a
            node share one copy.
        process: What a process takes before it trains anything.
    """

    parameters: int
    optimizer: int
    gradient: int
    best: int
    batch: int
    mixture: int
    corpus: int
    process: int

    @property
    def total(self) -> int:
        """The sum, bytes."""
        return (
            self.parameters
            + self.optimizer
            + self.gradient
            + self.best
            + self.batch
            + self.mixture
            + self.corpus
            + self.process
        )


def training_memory(
    hyperparameters: Hyperparameters, corpus: CorpusSize, device: str
) -> TrainingMemory:
    """Estimate the memory of a training.

    Args:
        hyperparameters: The settings.
        corpus: Its size.
        device: ``cpu`` or ``cuda``.
    """
    topics, vocabulary = hyperparameters.num_topics, corpus.vocabulary
    widths = [vocabulary, *hyperparameters.layer_sizes]
    encoder = sum(before * after + after for before, after in pairwise(widths))
    heads = 2 * (widths[-1] * topics + topics)
    decoder = vocabulary * (topics + 2)
    parameters = _FLOAT * (encoder + heads + decoder)
    # The encoder's first weight, a row a word, has its gradient made and used up in parts.
    dense = parameters - _FLOAT * vocabulary * widths[1]
    documents = min(hyperparameters.mini_batch_size, max(1, corpus.documents))
    entries = documents * corpus.entries // max(1, corpus.documents)
    activations = 4 * documents * (sum(widths[1:]) + 4 * topics)
    on_device = device != "cpu"
    mixes = hyperparameters.extensions.decoder == "mixture"
    return TrainingMemory(
        parameters=parameters,
        optimizer=parameters * _ACCUMULATORS[hyperparameters.optimizer],
        gradient=dense if on_device else dense - _FLOAT * decoder,
        best=0 if on_device else 2 * parameters,
        batch=_FLOAT * (activations + 4 * entries) + _TILES["cuda" if on_device else "cpu"],
        mixture=mixes * _FLOAT * _MIXED[on_device] * vocabulary * -(-topics // _LANES) * _LANES,
        corpus=2 * _FLOAT * corpus.entries if on_device else 0,
        process=CUDA_PROCESS if on_device else _CPU_PROCESS,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or this machine had no memory left to give."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in said or "out of memory" in said
    )
