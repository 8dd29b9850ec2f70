"""The learner of a CPU: numpy's arrays, and compiled code that works on them."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ntm_ray.model.cpu import decoder, step
from ntm_ray.model.cpu.layout import (
    Documents,
    Parameters,
    Shape,
    Work,
    documents_of,
    filled,
    parameters_of,
    shape_of,
    work_of,
)
from ntm_ray.model.cpu.update import RULES, refresh_rows, step_rates
from ntm_ray.model.evaluation import EVALUATION_SEED, Losses
from ntm_ray.model.initial import initialise
from ntm_ray.model.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from ntm_ray.corpus import Corpus
    from ntm_ray.model.hyperparameters import Hyperparameters

    Floats = NDArray[np.float32]

_NOISE_FLOATS = 1 << 20
"""Noise is drawn for as many batches as this holds, at least for one."""

_EVALUATED_TOGETHER = 256
_KEPT_NOISE_FLOATS = 1 << 22

_LEAST_SHARED = 1 << 22
"""With fewer products in the decoder, handing work to threads costs more than it saves."""


class CpuLearner:
    """A :class:`ntm_ray.model.learner.Learner` for a CPU, in float32.

    A step touches the encoder's rows of its documents' words alone, and makes up for the steps
    that a row has missed when it is read again: see :mod:`ntm_ray.model.cpu.update`.

    It computes with as many threads as torch is set to, which share the vocabulary.

    Args:
        hyperparameters: The settings.
        corpus: Training and validation documents.
        generator: Where initial weights are drawn from.
    """

    def __init__(
        self, hyperparameters: Hyperparameters, corpus: Corpus, generator: np.random.Generator
    ) -> None:
        self._shape = shape_of(hyperparameters)
        self._rule = RULES[hyperparameters.optimizer]
        self._optimizer = hyperparameters.optimizer
        self._learning_rate = hyperparameters.learning_rate
        self._rates = np.zeros(0, dtype=np.float32)
        self._decay = hyperparameters.weight_decay
        self._size = min(hyperparameters.mini_batch_size, corpus.train.shape[0])
        self._settings = np.array(
            [hyperparameters.rescale_gradient, hyperparameters.clip_gradient, 0.0],
            dtype=np.float32,
        )
        self._parameters = parameters_of(self._shape)
        self._state = {
            name: parameters_of(self._shape)
            for name in OPTIMIZERS[hyperparameters.optimizer].accumulators
        }
        # What an optimizer does not keep is not read.
        states = [*self._state.values(), self._parameters, self._parameters]
        self._a, self._b = states[:2]
        # Without decay, sgd and adagrad leave rows as they are: there is nothing to make up for.
        falls_behind = self._decay > 0 or hyperparameters.optimizer not in {"sgd", "adagrad"}
        rows = self._shape.vocabulary if falls_behind else 0
        self._last_steps = np.zeros(rows, dtype=np.int64)
        self._steps = 0

        work = self._size * self._shape.vocabulary * self._shape.topics
        self._threads = torch.get_num_threads() if work >= _LEAST_SHARED else 1
        self._train = _arrays(corpus.train)
        self._batch = _documents(corpus.train, self._size)
        self._work = work_of(self._shape, self._size, self._threads, training=True)
        self._validation = _arrays(corpus.validation)
        self._judged = _documents(corpus.validation, _EVALUATED_TOGETHER)
        self._judging = work_of(self._shape, _EVALUATED_TOGETHER, 1, training=False)
        self._judging = self._judging._replace(running=self._work.running)
        self._noise: Floats | None = None

        self._names = _named(self._parameters, hyperparameters)
        self._named_state = {
            f"{name}.{of}": view
            for name, state in self._state.items()
            for of, view in _named(state, hyperparameters).items()
        }
        if hyperparameters.batch_norm:
            self._names |= _running(self._work.running, self._shape)
        initialise(self._names, generator)

    @property
    def steps(self) -> int:
        """How many steps the optimizer has done."""
        return self._steps

    def train(self, documents: NDArray[np.int64], generator: np.random.Generator) -> Losses:
        """Do one step for each mini-batch of `documents`, in their order."""
        topics, size = self._shape.topics, self._size
        together = max(1, _NOISE_FLOATS // (topics * size)) * size
        self._work.losses[:] = 0
        last_step = self._steps + -(-len(documents) // size)
        if len(self._rates) <= last_step:
            self._rates = step_rates(self._optimizer, self._learning_rate, 2 * last_step)
        with _flushing_denormals():
            for first in range(0, len(documents), together):
                chosen = documents[first : first + together]
                noise = generator.standard_normal((len(chosen), topics), dtype=np.float32)
                if self._threads == 1:
                    self._train_alone(chosen, noise)
                else:
                    self._train_together(chosen, noise)
                self._steps += -(-len(chosen) // size)
            self._settle()
        return _losses(self._work)

    def evaluate(self) -> Losses:
        """Return the losses of all validation documents; see `evaluation.evaluate`."""
        documents = np.arange(len(self._validation[0]) - 1)
        self._judging.losses[:] = 0
        with _flushing_denormals():
            for chosen, noise in self._evaluation_noise(documents):
                step.evaluate(
                    self._shape, self._parameters, *self._validation, chosen, noise,
                    _EVALUATED_TOGETHER, self._judged, self._judging,
                )  # fmt: skip
        return _losses(self._judging)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return copies of all parameters and running statistics by name."""
        return _copies(self._names)

    def optimizer_tensors(self) -> dict[str, torch.Tensor]:
        """Return copies of the optimizer's state by name."""
        return _copies(self._named_state)

    def load(
        self,
        tensors: Mapping[str, torch.Tensor],
        optimizer_tensors: Mapping[str, torch.Tensor],
        steps: int,
    ) -> None:
        """Go on from what another learner of the same settings returned."""
        for name, view in self._names.items():
            view[...] = tensors[name].numpy()
        for name, view in self._named_state.items():
            view[...] = optimizer_tensors[name].numpy()
        self._steps = steps
        self._last_steps.fill(steps)

    def _evaluation_noise(
        self, documents: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], Floats]]:
        topics = self._shape.topics
        if self._noise is not None:
            yield documents, self._noise
            return
        generator = np.random.default_rng(EVALUATION_SEED)
        together = max(1, _KEPT_NOISE_FLOATS // topics)
        for first in range(0, len(documents), together):
            chosen = documents[first : first + together]
            noise = generator.standard_normal((len(chosen), topics), dtype=np.float32)
            if len(chosen) == len(documents):
                self._noise = noise  # the same in every epoch
            yield chosen, noise

    def _train_alone(self, documents: NDArray[np.int64], noise: Floats) -> None:
        step.train(
            self._rule, self._shape, self._parameters, self._a, self._b, *self._train, documents,
            noise, self._size, self._batch, self._last_steps, self._steps, self._decay,
            self._settings, self._rates, self._work,
        )  # fmt: skip

    def _train_together(self, documents: NDArray[np.int64], noise: Floats) -> None:
        """As :func:`ntm_ray.model.cpu.step.train`, with the decoder shared between threads."""
        shape, parameters, batch, work = self._shape, self._parameters, self._batch, self._work
        bounds = np.linspace(0, shape.vocabulary, self._threads + 1).astype(int).tolist()
        parts = [(first, last, n) for n, (first, last) in enumerate(itertools.pairwise(bounds))]
        with ThreadPoolExecutor(
            self._threads, initializer=torch.set_flush_denormal, initargs=(True,)
        ) as pool:
            for done, first in enumerate(range(0, len(documents), self._size)):
                chosen = documents[first : first + self._size]
                e = noise[first : first + self._size]
                rows = filled(len(chosen), 4)
                found = step.make_ready(
                    self._rule, parameters, self._a, self._b, *self._train, chosen, batch,
                    self._last_steps, self._steps + done, self._decay, self._settings,
                    self._rates,
                )  # fmt: skip
                step.begin(shape, parameters, batch, e, True, work)

                def forward(part: tuple[int, int, int], rows: int = rows) -> None:
                    decoder.forward(parameters, shape.topics, batch, rows, *part, work)

                def backward(part: tuple[int, int, int], rows: int = rows) -> None:
                    decoder.backward(
                        self._rule, parameters, self._a, self._b, shape.topics, batch, rows,
                        *part, self._decay, self._settings, work,
                    )  # fmt: skip

                list(pool.map(forward, parts))
                if not step.sums_in_range(len(chosen), work):
                    decoder.highest_logits(parameters, shape.topics, rows, shape.vocabulary, work)
                    list(pool.map(forward, parts))
                    step.sums_in_range(len(chosen), work)
                step.combine(shape, batch, len(chosen), work)
                list(pool.map(backward, parts))
                step.finish(
                    self._rule, shape, parameters, self._a, self._b, batch, found, e,
                    self._decay, self._settings, work,
                )  # fmt: skip

    def _settle(self) -> None:
        """Bring all rows up to date."""
        if self._last_steps.size:
            refresh_rows(
                self._rule, np.arange(self._shape.vocabulary, dtype=np.int32),
                self._parameters.rows, self._a.rows, self._b.rows, self._last_steps, self._steps,
                self._decay, self._settings, self._rates,
            )  # fmt: skip


def _arrays(counts: csr_matrix) -> tuple[Any, Any, Any]:
    """Return a matrix's arrays, read-only whatever they were, so that one compiled code fits."""
    arrays = (
        np.ascontiguousarray(counts.indptr, dtype=np.int32),
        np.ascontiguousarray(counts.indices, dtype=np.int32),
        np.ascontiguousarray(counts.data, dtype=np.float32),
    )
    starts, columns, values = (array.view(np.ndarray) for array in arrays)
    for view in (starts, columns, values):
        view.flags.writeable = False
    return starts, columns, values


def _documents(counts: csr_matrix, together: int) -> Documents:
    """Return memory for any `together` of the documents."""
    lengths = np.sort(np.diff(counts.indptr))[::-1]
    return documents_of(int(lengths[:together].sum()), together, counts.shape[1])


def _named(parameters: Parameters, hyperparameters: Hyperparameters) -> dict[str, Floats]:
    """Return the tensors of :class:`ntm_ray.model.network.Network`, as views."""
    shape = shape_of(hyperparameters)
    used, widths, topics = shape.used.tolist(), shape.widths.tolist(), shape.topics
    offset = "beta" if shape.batch_norm else "bias"
    views: dict[str, Floats] = {}
    at, weights = 0, 0
    weight: Floats = parameters.rows
    for i, width in enumerate(used):
        views[f"encoder_{i}_weight"] = weight[: used[i - 1] if i else None, :width]
        views[f"encoder_{i}_{offset}"] = parameters.offsets[at : at + width]
        at += widths[i]
        size = widths[i] * widths[i + 1]
        weight = parameters.dense[weights : weights + size].reshape(widths[i], widths[i + 1])
        weights += size
    half = widths[-1] // 2
    for head, start in (("mean", 0), ("log_sigma", half)):
        views[f"{head}_weight"] = weight[: used[-1], start : start + topics]
        views[f"{head}_bias"] = parameters.offsets[at + start : at + start + topics]
    views["projection_weight"] = parameters.weight[:topics, : shape.vocabulary].T
    views["projection_bias"] = parameters.bias[: shape.vocabulary]
    return views


def _running(running: Floats, shape: Shape) -> dict[str, Floats]:
    views: dict[str, Floats] = {}
    at = 0
    for i, (used, width) in enumerate(zip(shape.used, shape.widths, strict=False)):
        views[f"encoder_{i}_mean"] = running[0, at : at + used]
        views[f"encoder_{i}_var"] = running[1, at : at + used]
        at += width
    return views


def _copies(views: Mapping[str, Floats]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(view, order="C")) for name, view in views.items()}


def _losses(work: Work) -> Losses:
    with np.errstate(invalid="ignore"):
        recons, kld = (float(x) for x in work.losses[:2] / work.losses[2])
    return Losses(recons + kld, recons, kld)


@contextmanager
def _flushing_denormals() -> Iterator[None]:
    """Have this thread take numbers below 1e-38 for zero for a while.

    What a dead unit or weight decay leaves in the averages of an optimizer shrinks by a factor
    each step, and numbers that small take a CPU far longer than others.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
