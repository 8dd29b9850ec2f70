"""Training on an accelerator, by torch's own operations; the host does not wait within an epoch.

On a CUDA GPU a step is a graph, captured once, and asked for as a whole.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

from ntm_ray.model.counts_source import CountsSource, fits
from ntm_ray.model.evaluation import Losses, LossSum, losses_of, noisy_batches
from ntm_ray.model.network import DocumentLosses
from ntm_ray.model.optimizers import OPTIMIZERS
from ntm_ray.model.products import Products, multiplying
from ntm_ray.model.schedule import Schedule
from ntm_ray.model.staging import Shape, Stage, groups
from ntm_ray.model.variant_network import network_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from ntm_ray.corpus import Corpus
    from ntm_ray.model.batch import Batch
    from ntm_ray.model.hyperparameters import Hyperparameters
    from ntm_ray.model.precision import Precision

_GRAPH_BYTES = 1 << 30
"""Largest parameters for which a graph is captured: asking for a large step takes no time."""

_WARM_UP_STEPS = 3


class DeviceLearner:
    """A :class:`ntm_ray.model.learner.Learner` for any device but a CPU, where it also works.

    The same seed gives the same bits on the same kind of device. Noise is drawn on the device,
    each epoch from a seed of its own, so that no state of it outlives an epoch.

    Args:
        hyperparameters: The settings.
        corpus: Training and validation documents.
        generator: Where initial weights are drawn from.
        device: Where parameters lie and steps are done.
        precision: How matrices are multiplied in training; see `precision.check_precision`.
        graphs: Whether a step is captured as a CUDA graph, where there are any.
        resident: Whether training documents lie on the device; None: if they fit.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        corpus: Corpus,
        generator: np.random.Generator,
        device: torch.device,
        *,
        precision: Precision = "float32",
        graphs: bool = True,
        resident: bool | None = None,
    ) -> None:
        self._corpus = corpus
        self._device = device
        self._precision = precision
        products = Products(rounded=precision == "bf16")
        self._network = network_for(hyperparameters, device=device, products=products)
        self._network.initialise(generator)
        self._network.start_from(corpus.train, hyperparameters, generator)
        parameters = self._network.parameters
        schedule = Schedule.of(hyperparameters, corpus.train.shape[0])
        kind = OPTIMIZERS[hyperparameters.optimizer]
        self._optimizer = kind(parameters, hyperparameters, schedule)
        self._source = CountsSource.of(corpus.train, device, resident=resident)
        self._shape = Shape.regular(
            self._source.lengths,
            min(hyperparameters.mini_batch_size, corpus.train.shape[0]),
            hyperparameters.feature_dim,
            hyperparameters.num_topics,
        )
        self._stage: Stage | None = None
        self._validation: list[tuple[Batch, torch.Tensor]] | None = None
        small = parameters.flat.numel() * parameters.flat.itemsize <= _GRAPH_BYTES
        self._graphs = graphs and small and device.type == "cuda"
        self._graph: torch.cuda.CUDAGraph | None = None

    @property
    def steps(self) -> int:
        """How many steps the optimizer has done."""
        return self._optimizer.steps

    def train(self, documents: NDArray[np.int64], generator: np.random.Generator) -> Losses:
        """Do one step for each mini-batch of `documents`, in their order."""
        noise = torch.Generator(self._device)
        noise.manual_seed(int(generator.integers(1 << 63)))
        total = LossSum()
        with self._working(self._precision):
            for group in groups(documents, self._source.lengths, self._shape):
                number = len(group.documents)
                stage = self._stage_of(group.documents.shape[1], group.entries, group.regular)
                rates = self._optimizer.rates(number)
                stage.fill(group.documents, self._source, rates, noise)
                self._do(stage, number)
                self._optimizer.steps += number
                recons, kld, tokens = stage.results(number)
                total.add(DocumentLosses(recons, kld), tokens)
            return total.mean()

    def evaluate(self) -> Losses:
        """Return the losses of all validation documents, in float32 whatever the precision."""
        network, counts = self._network, self._corpus.validation
        noise = counts.shape[0] * network.hyperparameters.num_topics
        with self._working("float32"):
            if self._validation is None and fits(4 * (2 * counts.nnz + noise), self._device):
                self._validation = list(noisy_batches(network, counts))
            return losses_of(network, self._validation or noisy_batches(network, counts))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return copies, on the CPU, of all parameters and running statistics by name."""
        return self._network.tensors()

    def optimizer_tensors(self) -> dict[str, torch.Tensor]:
        """Return copies, on the CPU, of the optimizer's state by name."""
        return {name: t.to("cpu", copy=True) for name, t in self._optimizer.state_tensors.items()}

    def load(
        self,
        tensors: Mapping[str, torch.Tensor],
        optimizer_tensors: Mapping[str, torch.Tensor],
        steps: int,
    ) -> None:
        """Go on from what another learner of the same settings and kind of device returned."""
        self._optimizer.load_state(optimizer_tensors, steps)
        self._network.load(tensors)

    def _stage_of(self, documents: int, entries: int, regular: bool) -> Stage:
        if not regular:
            shape = self._shape
            single = Shape.single(documents, entries, shape.vocabulary, shape.topics)
            return Stage(single, self._device)
        if self._stage is None:
            self._stage = Stage(self._shape, self._device)
        return self._stage

    def _do(self, stage: Stage, number: int) -> None:
        """Do the steps of the first batches of a stage."""
        graph = None
        if self._graphs and stage is self._stage:
            graph = self._graph = self._graph or self._captured(stage)
        for _ in range(number):
            if graph is None:
                self._step(stage)
            else:
                graph.replay()

    def _step(self, stage: Stage) -> None:
        """Do the next step of a stage: the same operations on the same memory each time."""
        ready = stage.next()
        losses = self._network.train_losses(ready.batch, ready.noise)
        stage.done(losses)
        gradient = self._network.gradient.flat
        self._optimizer.update(gradient, ready.rate, self._network.encoder_gradient)
        self._network.encoder_gradient = None

    def _captured(self, stage: Stage) -> torch.cuda.CUDAGraph:
        """Return a step of `stage` as a graph; nothing is trained by that."""
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with self._undone(stage):
            # Libraries set themselves up in their first calls, which a graph cannot take down.
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP_STEPS):
                    stage.number.zero_()
                    self._step(stage)
            current.wait_stream(side)
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                self._step(stage)
        return graph

    @contextmanager
    def _undone(self, stage: Stage) -> Iterator[None]:
        """Leave all that steps change as it was, so that they can be tried out."""
        changed = [
            self._network.parameters.flat,
            self._network.running.flat,
            *self._optimizer.state_tensors.values(),
            stage.number,
        ]
        copies = [tensor.clone() for tensor in changed]
        yield
        for tensor, copy in zip(changed, copies, strict=True):
            tensor.copy_(copy)

    @contextmanager
    def _working(self, precision: Precision) -> Iterator[None]:
        """Work on the device, without gradients of torch's own."""
        on_device = torch.cuda.device(self._device) if self._device.type == "cuda" else None
        with on_device or nullcontext(), torch.inference_mode(), multiplying(precision):
            yield
