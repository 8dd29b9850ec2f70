"""The learner of a CPU: numpy's arrays, and compiled code that works on them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from ntm_ray.corpus.mapped import MappedDocuments
from ntm_ray.model.cpu.epoch import Rule, counts_of, run
from ntm_ray.model.cpu.layout import (
    Documents,
    Parameters,
    Work,
    documents_of,
    parameters_of,
    shape_of,
    work_of,
)
from ntm_ray.model.cpu.names import named_parameters, named_statistics
from ntm_ray.model.cpu.together import train_together
from ntm_ray.model.cpu.update import RULES, step_rates
from ntm_ray.model.cpu.variant import run_variant, variant_of
from ntm_ray.model.diversity import pull_apart
from ntm_ray.model.evaluation import EVALUATION_SEED, Losses
from ntm_ray.model.initial import decoder_start, initialise
from ntm_ray.model.optimizers import OPTIMIZERS
from ntm_ray.model.prior import log_exponential, mean_of
from ntm_ray.model.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from ntm_ray.corpus import Corpus
    from ntm_ray.model.hyperparameters import Hyperparameters

    Floats = NDArray[np.float32]

_NOISE_FLOATS = 1 << 20
"""Noise is drawn for as many batches as this holds, at least for one."""

_ASKED_FOR_TOGETHER = 2048
"""Documents of a mapped file are asked for while so many before them are trained on."""

_EVALUATED_TOGETHER = 256
_NO_SEEDS = np.zeros(0, dtype=np.int32)
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
        self._shape = shape = shape_of(hyperparameters)
        self._parameters = parameters_of(shape)
        self._optimizer, self._rate = hyperparameters.optimizer, hyperparameters.learning_rate
        self._schedule = Schedule.of(hyperparameters, corpus.train.shape[0])
        accumulators = OPTIMIZERS[self._optimizer].accumulators
        state = {name: parameters_of(shape) for name in accumulators}
        self._rule = self._make_rule(hyperparameters, list(state.values()))
        self._steps = 0

        self._size = min(hyperparameters.mini_batch_size, corpus.train.shape[0])
        products = self._size * shape.vocabulary * shape.topics
        self._threads = torch.get_num_threads() if products >= _LEAST_SHARED else 1
        self._varies = not hyperparameters.extensions.off
        self._counts = counts_of(corpus.train)
        self._mapped = MappedDocuments(corpus.train)
        self._batch = _documents(corpus.train, self._size)
        self._work = work_of(shape, self._size, self._threads, training=True)
        self._validation = counts_of(corpus.validation)
        self._judged = _documents(corpus.validation, _EVALUATED_TOGETHER)
        judging = work_of(shape, _EVALUATED_TOGETHER, 1, training=False)
        self._judging = judging._replace(running=self._work.running)
        self._noise: Floats | None = None
        self._variant = variant_of(
            hyperparameters,
            shape,
            self._size,
            len(self._batch.columns),
            training=True,
            apart=pull_apart(hyperparameters, corpus.train),
        )
        self._judging_variant = variant_of(
            hyperparameters, shape, _EVALUATED_TOGETHER, len(self._judged.columns), training=False
        )._replace(prior_mean=self._variant.prior_mean)

        self._tensors = named_parameters(self._parameters, shape)
        self._state = {
            f"{name}.{of}": view
            for name, parameters in state.items()
            for of, view in named_parameters(parameters, shape).items()
        }
        if shape.batch_norm:
            self._tensors |= named_statistics(self._work.running, shape)
        if (own := hyperparameters.extensions).learns_prior:
            self._tensors["prior_mean"] = self._variant.prior_mean
        initialise(self._tensors, generator)
        if own.learns_prior:
            self._variant.prior_mean.fill(mean_of(own.prior_concentration))
        if (start := decoder_start(corpus.train, hyperparameters, generator)) is not None:
            self._tensors["projection_weight"] += start[0]
            self._tensors["projection_bias"] += start[1]

    def _make_rule(self, hyperparameters: Hyperparameters, state: list[Parameters]) -> Rule:
        # Without decay, sgd and adagrad leave rows as they are: there is nothing to make up for.
        lags = hyperparameters.weight_decay > 0 or self._optimizer not in {"sgd", "adagrad"}
        words = self._shape.vocabulary if lags else 0
        # What an optimizer does not keep is not read.
        a, b = [*state, self._parameters, self._parameters][:2]
        settings = [hyperparameters.rescale_gradient, hyperparameters.clip_gradient, 0.0]
        return Rule(
            number=RULES[self._optimizer],
            a=a,
            b=b,
            last_steps=np.zeros(words, dtype=np.int64),
            every_word=np.arange(words, dtype=np.int32),
            decay=hyperparameters.weight_decay,
            settings=np.array(settings, dtype=np.float32),
            rates=np.zeros(0, dtype=np.float32),
        )

    @property
    def steps(self) -> int:
        """How many steps the optimizer has done."""
        return self._steps

    def train(self, documents: NDArray[np.int64], generator: np.random.Generator) -> Losses:
        """Do one step for each mini-batch of `documents`, in their order."""
        topics, size = self._shape.topics, self._size
        together = max(1, _NOISE_FLOATS // (topics * size)) * size
        if self._mapped.in_file:
            together = min(together, -(-_ASKED_FOR_TOGETHER // size) * size)
            self._mapped.ask_for(documents[:together])
        self._work.losses[:] = 0
        last_step = self._steps + -(-len(documents) // size)
        if len(self._rule.rates) <= last_step:
            rates = step_rates(self._optimizer, self._rate, 2 * last_step, self._schedule)
            self._rule = self._rule._replace(rates=rates)
        with _flushing_denormals():
            for first in range(0, len(documents), together):
                chosen = documents[first : first + together]
                self._mapped.ask_for(documents[first + together : first + 2 * together])
                noise = generator.standard_normal((len(chosen), topics), dtype=np.float32)
                seeds = noise[:, 0].copy().view(np.int32)
                if self._variant.dirichlet:
                    noise = log_exponential(torch.from_numpy(noise)).numpy()
                settle = first + together >= len(documents)
                task = (
                    self._rule, self._steps, settle, self._shape, self._parameters, self._counts,
                    chosen, noise, size, self._batch, self._work,
                )  # fmt: skip
                if self._varies:
                    run_variant(True, *task, seeds, self._variant)
                elif self._threads == 1:
                    run(True, *task)
                else:
                    train_together(self._threads, *task)
                self._steps += -(-len(chosen) // size)
        return _losses(self._work)

    def evaluate(self) -> Losses:
        """Return the losses of all validation documents; see `evaluation.evaluate`."""
        documents = np.arange(len(self._validation.starts) - 1)
        self._judging.losses[:] = 0
        with _flushing_denormals():
            for chosen, noise in self._evaluation_noise(documents):
                task = (
                    self._rule, 0, False, self._shape, self._parameters, self._validation,
                    chosen, noise, _EVALUATED_TOGETHER, self._judged, self._judging,
                )  # fmt: skip
                if self._varies:
                    run_variant(False, *task, _NO_SEEDS, self._judging_variant)
                else:
                    run(False, *task)
        return _losses(self._judging)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return copies of all parameters and running statistics by name."""
        return _copies(self._tensors)

    def optimizer_tensors(self) -> dict[str, torch.Tensor]:
        """Return copies of the optimizer's state by name."""
        return _copies(self._state)

    def load(
        self,
        tensors: Mapping[str, torch.Tensor],
        optimizer_tensors: Mapping[str, torch.Tensor],
        steps: int,
    ) -> None:
        """Go on from what another learner of the same settings returned."""
        for name, view in self._tensors.items():
            view[...] = tensors[name].numpy()
        for name, view in self._state.items():
            view[...] = optimizer_tensors[name].numpy()
        self._steps = steps
        self._rule.last_steps.fill(steps)

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
            if self._variant.dirichlet:
                noise = log_exponential(torch.from_numpy(noise)).numpy()
            if len(chosen) == len(documents):
                self._noise = noise  # the same in every epoch
            yield chosen, noise


def _documents(counts: csr_matrix, together: int) -> Documents:
    """Return memory for any `together` of the documents."""
    lengths = np.sort(np.diff(counts.indptr))[::-1]
    return documents_of(int(lengths[:together].sum()), together, counts.shape[1])


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
