"""Training on any device that torch knows, by torch's own operations."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from ntm_ray.model.batch import Batch
from ntm_ray.model.cpu_optimizer import CpuOptimizer
from ntm_ray.model.evaluation import Losses, LossSum, evaluate
from ntm_ray.model.network import Network
from ntm_ray.model.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from ntm_ray.corpus import Corpus
    from ntm_ray.model.hyperparameters import Hyperparameters


class DeviceLearner:
    """A :class:`ntm_ray.model.learner.Learner` for any device.

    Args:
        hyperparameters: The settings.
        corpus: Training and validation documents.
        generator: Where initial weights are drawn from.
        device: Where parameters lie and steps are done.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        corpus: Corpus,
        generator: np.random.Generator,
        device: torch.device,
    ) -> None:
        self._hyperparameters = hyperparameters
        self._corpus = corpus
        self._network = Network(hyperparameters, device=device)
        self._network.initialise(generator)
        make = CpuOptimizer if device.type == "cpu" else OPTIMIZERS[hyperparameters.optimizer]
        self._optimizer = make(self._network.parameters, hyperparameters)

    @property
    def steps(self) -> int:
        """How many steps the optimizer has done."""
        return self._optimizer.steps

    def train(self, documents: NDArray[np.int64], generator: np.random.Generator) -> Losses:
        """Do one step for each mini-batch of `documents`, in their order."""
        network, counts = self._network, self._corpus.train
        size, topics = self._hyperparameters.mini_batch_size, self._hyperparameters.num_topics
        total = LossSum()
        with torch.inference_mode(), _denormals_as_zero():
            for start in range(0, len(documents), size):
                batch = Batch.gathered(
                    counts, documents[start : start + size], device=network.device
                )
                self._optimizer.prepare(batch)
                noise = generator.standard_normal((len(batch), topics), dtype="float32")
                losses = network.train_losses(batch, torch.from_numpy(noise).to(network.device))
                total.add(losses, batch.tokens)
                self._optimizer.step(network.gradient.flat, network.encoder_gradient)
            self._optimizer.settle()
            return total.mean()

    def evaluate(self) -> Losses:
        """Return the losses of all validation documents."""
        with torch.inference_mode(), _denormals_as_zero():
            return evaluate(self._network, self._corpus.validation)

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


@contextmanager
def _denormals_as_zero() -> Iterator[None]:
    """Have the CPU take numbers below 1e-38 for zero for a while.

    What a dead unit or weight decay leaves in the averages of an optimizer shrinks by a factor
    each step, and numbers that small take a CPU far longer than others.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
