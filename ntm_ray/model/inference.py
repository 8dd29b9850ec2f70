"""How topic weights come from a trained model's encoder, where it mixes topics.

One pass of an encoder says less about a document than the topics themselves do. Of mixed topics
with a Dirichlet prior, rounds of expectation maximisation go on from its weights, with n_k the
words that are expected to be of topic k::

    theta_k = (s m_k + n_k) / sum_k (s m_k + n_k)

The mean m of the prior is the one in training. Its size s, the sum of concentrations, is not: that
which training has, or learns, is of the encoder's uncertain weights, and draws those that rounds
come to towards the mean far more than is good for words that are not seen. A round too many, on
the other hand, takes what is chance in a short document for certain. So both are settled when a
model is done, by what completes documents best (:mod:`ntm_ray.model.completion`), and saved with
it.

Source: Asuncion, Welling, Smyth and Teh, "On smoothing and inference for topic models" (2009):
what tells ways of inference apart is mostly the size of the prior, which is to be fitted to each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 3
"""The most rounds that are tried; more of them gained nothing to speak of (docs/topics.md)."""

SIZES = (1.0, 3.0)
"""Sizes that are tried, besides that which training has."""

_ROUNDS, _SIZE = "inference_rounds", "inference_size"
SHAPES: dict[str, tuple[int, ...]] = {_ROUNDS: (), _SIZE: ()}
"""Shapes of the tensors that it is saved as."""


@dataclass(frozen=True)
class Inference:
    """How topic weights are inferred.

    Attributes:
        rounds: Of expectation maximisation.
        size: Sum over topics of the concentrations of the prior.
    """

    rounds: int
    size: float

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Inference | None:
        """Return what a model was saved with, if its weights are refined at all.

        Raises:
            ValueError: The figures are none that :meth:`tensors` returns.
        """
        if _ROUNDS not in tensors:
            return None
        rounds, size = float(tensors[_ROUNDS]), float(tensors[_SIZE])
        if rounds not in range(ROUNDS + 1):
            raise ValueError(f"{_ROUNDS} is {rounds:g}; it must be an integer from 0 to {ROUNDS}")
        if not 0 < size < math.inf:
            raise ValueError(f"{_SIZE} is {size:g}; it must be a number above 0")
        return cls(int(rounds), size)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return it as it is saved."""
        return {_ROUNDS: torch.tensor(self.rounds), _SIZE: torch.tensor(self.size)}
