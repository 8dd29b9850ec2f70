"""Learning rates that fall towards the end of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.model.hyperparameters import Hyperparameters


def documents_an_epoch(hyperparameters: Hyperparameters, documents: int) -> int:
    """Return how many of some training documents an epoch takes."""
    return max(1, round(hyperparameters.sub_sample * documents))


@dataclass(frozen=True)
class Schedule:
    """What the learning rate of each step is multiplied by.

    It is 1, and over the last `part` of all steps falls in a straight line to nearly 0, which it
    would reach at the step after the last.

    Attributes:
        steps: Number of steps of a training that no early stopping ends.
        part: From 0, where it never falls, to 1.
    """

    steps: int
    part: float

    @classmethod
    def of(cls, hyperparameters: Hyperparameters, documents: int) -> Schedule:
        """Return the schedule of a training with so many training documents."""
        size = min(hyperparameters.mini_batch_size, documents)
        batches = -(-documents_an_epoch(hyperparameters, documents) // size)
        return cls(
            hyperparameters.epochs * batches, hyperparameters.extensions.learning_rate_decay
        )

    @property
    def falls(self) -> bool:
        """Whether there are factors other than 1."""
        return self.part > 0

    def factors(self, first: int, number: int) -> NDArray[np.float64]:
        """Return the factors of some steps from step `first` on, counted from 1, ``(number,)``.

        Steps beyond the last have that of the last.
        """
        if not self.falls:
            return np.ones(number)
        left = self.steps + 1 - np.arange(first, first + number)
        return np.clip(np.maximum(left, 1) / (self.part * self.steps), 0, 1)
