"""What a training asks of a device: one network and its optimizer, an epoch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ntm_ray.model.evaluation import Losses


class Learner(Protocol):
    """Parameters and optimizer state on one kind of device, and what is done with them.

    Made for a corpus and hyperparameters, with weights drawn from a generator.
    """

    @property
    def steps(self) -> int:
        """How many steps the optimizer has done."""

    def train(self, documents: NDArray[np.int64], generator: np.random.Generator) -> Losses:
        """Do one step for each mini-batch of `documents`, in their order.

        Args:
            documents: Numbers of training documents, each at most once, ``(documents,)``.
            generator: Where the posterior's noise comes from.

        Returns:
            The losses of each document before the step that it is part of.
        """

    def evaluate(self) -> Losses:
        """Return the losses of all validation documents; see `evaluation.evaluate`."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return copies, on the CPU, of all parameters and running statistics by name."""

    def optimizer_tensors(self) -> dict[str, torch.Tensor]:
        """Return copies, on the CPU, of the optimizer's state by name."""

    def load(
        self,
        tensors: Mapping[str, torch.Tensor],
        optimizer_tensors: Mapping[str, torch.Tensor],
        steps: int,
    ) -> None:
        """Go on from what another learner of the same settings and kind of device returned."""
