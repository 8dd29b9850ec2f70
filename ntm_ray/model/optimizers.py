"""The five optimizers as MXNet has them, which is what SageMaker NTM runs.

They differ from PyTorch's in where epsilon, weight decay and clipping enter (MXNet 1.9.1,
``python/mxnet/optimizer``): sgd, adagrad and adadelta decay weights apart from the gradient,
adadelta without any learning rate; adam and rmsprop decay before they clip. Clipping is
element by element.

These run on any device, each parameter and each array of state in one vector. Nothing here looks
at a value, so that a GPU can repeat a step without the host.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntm_ray.model.hyperparameters import Hyperparameters
    from ntm_ray.model.parameters import ParameterVector, WordGradient
    from ntm_ray.model.schedule import Schedule

_PIECE = 1 << 26
"""Most elements that are updated at a time, and so the size of what is computed on the way."""


class Optimizer(ABC):
    """Changes parameters, in place, by a gradient that is summed over a mini-batch.

    Args:
        parameters: What is optimised; only its weights are decayed.
        hyperparameters: learning_rate, weight_decay, rescale_gradient and clip_gradient.
        schedule: How the learning rate changes; None: it stays.
    """

    accumulators: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors that are kept from step to step."""

    has_rate: ClassVar[bool] = True
    """Whether steps are proportional to a learning rate."""

    def __init__(
        self,
        parameters: ParameterVector,
        hyperparameters: Hyperparameters,
        schedule: Schedule | None = None,
    ) -> None:
        self._parameters = parameters
        self._schedule = schedule if schedule is not None and schedule.falls else None
        self._learning_rate = hyperparameters.learning_rate
        self._weight_decay = hyperparameters.weight_decay
        self._rescale = hyperparameters.rescale_gradient
        self._clip_at = hyperparameters.clip_gradient
        self._decoder_rate = hyperparameters.extensions.decoder_rate if self.has_rate else 1.0
        self.steps = 0
        self.state_tensors = {
            name: torch.zeros_like(parameters.flat) for name in self.accumulators
        }

    def step(self, gradient: torch.Tensor, sparse: WordGradient | None = None) -> None:
        """Do one step.

        Args:
            gradient: Laid out as the parameters after ``sparse_end``; it is overwritten.
            sparse: The gradient of the weight before, if there is one.
        """
        rate = float(self.rates(1)[0])
        self.steps += 1
        self.update(gradient, rate, sparse)

    def rates(self, number: int) -> NDArray[np.float32]:
        """Return the learning rates of the next steps, ``(number,)``."""
        return self._scheduled(np.full(number, self._learning_rate))

    def _scheduled(self, rates: NDArray[np.float64]) -> NDArray[np.float32]:
        if self._schedule is not None:
            rates = rates * self._schedule.factors(self.steps + 1, len(rates))
        return rates.astype(np.float32)

    @torch.no_grad()
    def update(
        self,
        gradient: torch.Tensor,
        rate: float | torch.Tensor,
        sparse: WordGradient | None = None,
    ) -> None:
        """Do what :meth:`step` does, for a step that is counted elsewhere.

        Args:
            gradient: See :meth:`step`.
            rate: What :meth:`rates` said for this step, as a number or a tensor of one.
            sparse: See :meth:`step`.
        """
        parameters, states = self._parameters, self.state_tensors.values()
        begin, middle = parameters.sparse_end, parameters.weights_end
        if sparse is not None:
            shape = parameters.rows.shape
            for columns, part in sparse.parts():
                weights = parameters.rows[:, columns]
                if self._rescale != 1.0:
                    part.mul_(self._rescale)
                if self._weight_decay:
                    self._decay(weights, part, rate)
                state = [tensor[:begin].view(shape)[:, columns] for tensor in states]
                self._update(weights, part, rate, *state)
        if self._rescale != 1.0:
            gradient.mul_(self._rescale)
        decoder = parameters.flat[parameters.others_end :]
        # A step is proportional to its rate, decay included: another rate makes it so much longer.
        before = decoder.clone() if self._decoder_rate != 1.0 else None
        if self._weight_decay:
            width = parameters.matrix_width
            matrix = gradient[parameters.others_end - begin :].view(parameters.matrix.shape)
            self._decay(parameters.flat[begin:middle], gradient[: middle - begin], rate)
            self._decay(parameters.matrix[:, :width], matrix[:, :width], rate)
        for start in range(0, len(gradient), _PIECE):
            piece = slice(start, start + _PIECE)
            flats = (tensor[begin:][piece] for tensor in (parameters.flat, *states))
            weights, *state = flats
            self._update(weights, gradient[piece], rate, *state)
        if before is not None:
            decoder.sub_(before).mul_(self._decoder_rate).add_(before)

    def load_state(self, tensors: Mapping[str, torch.Tensor], steps: int) -> None:
        """Go on from the `state_tensors` and `steps` of another optimizer of this kind."""
        for name, tensor in self.state_tensors.items():
            tensor.copy_(tensors[name])
        self.steps = steps

    def _decay(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,  # noqa: ARG002
        rate: float | torch.Tensor,
    ) -> None:
        """Do the decay of weights, ahead of the rest of their step."""
        rate = self._learning_rate if self._schedule is None else rate
        weights.mul_(1 - rate * self._weight_decay)

    @abstractmethod
    def _update(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,
        rate: float | torch.Tensor,
        *state: torch.Tensor,
    ) -> None:
        """Change `weights` and `state` in place, without decay.

        `gradient` may be overwritten, but where it was zero it stays so: what fills up rows never
        changes.
        """

    def _slowed(self, gradient: torch.Tensor, rate: float | torch.Tensor) -> torch.Tensor:
        """Return `gradient`, which may be overwritten, times what the schedule makes of the rate.

        Where there is none, a step takes the learning rate as a number, not from the device.
        """
        if self._schedule is None:
            return gradient
        return gradient.mul_(rate / self._learning_rate)

    def _clip(self, gradient: torch.Tensor) -> torch.Tensor:
        if math.isinf(self._clip_at):
            return gradient
        return gradient.clamp_(-self._clip_at, self._clip_at)


class Sgd(Optimizer):
    """w -= lr * (clip(g) + wd * w); no momentum."""

    def _update(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,
        rate: float | torch.Tensor,
        *_: torch.Tensor,
    ) -> None:
        weights.sub_(self._slowed(self._clip(gradient), rate), alpha=self._learning_rate)


class Adam(Optimizer):
    """Adam with decay inside the clip and epsilon outside the bias correction (epsilon-hat)."""

    accumulators = ("mean", "var")
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def rates(self, number: int) -> NDArray[np.float32]:
        """Return the learning rates of the next steps, with the correction in them."""
        steps = range(self.steps + 1, self.steps + 1 + number)
        rates = [self._learning_rate * self.correction(step) for step in steps]
        return self._scheduled(np.array(rates))

    def _decay(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,
        rate: float | torch.Tensor,  # noqa: ARG002 - it is a step's, decay included
    ) -> None:
        gradient.add_(weights, alpha=self._weight_decay)

    def _update(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,
        rate: float | torch.Tensor,
        *state: torch.Tensor,
    ) -> None:
        self._clip(gradient)
        mean, var = state
        mean.lerp_(gradient, 1 - self.beta1)
        var.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        weights.addcdiv_(mean, var.sqrt().add_(self.epsilon).div_(rate), value=-1)

    @classmethod
    def correction(cls, steps: int) -> float:
        """Return the factor on the learning rate for averages that started from zero."""
        return math.sqrt(1 - cls.beta2**steps) / (1 - cls.beta1**steps)


class AdaGrad(Optimizer):
    """h += clip(g)^2; w -= lr * (clip(g) / sqrt(h + epsilon) + wd * w)."""

    accumulators = ("history",)
    epsilon = 1e-7

    def _update(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,
        rate: float | torch.Tensor,
        *state: torch.Tensor,
    ) -> None:
        self._clip(gradient)
        history = state[0].addcmul_(gradient, gradient)
        gradient = self._slowed(gradient, rate)
        weights.addcdiv_(gradient, (history + self.epsilon).sqrt_(), value=-self._learning_rate)


class AdaDelta(Optimizer):
    """AdaDelta without a learning rate; each step also takes wd of a weight itself away."""

    accumulators = ("gradients", "deltas")
    has_rate = False
    rho, epsilon = 0.9, 1e-5

    def _decay(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,  # noqa: ARG002
        rate: float | torch.Tensor,  # noqa: ARG002 - there is none
    ) -> None:
        weights.mul_(1 - self._weight_decay)

    def _update(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,
        rate: float | torch.Tensor,  # noqa: ARG002 - there is none
        *state: torch.Tensor,
    ) -> None:
        self._clip(gradient)
        gradients, deltas = state
        gradients.mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
        ratio = (deltas + self.epsilon).div_(gradients + self.epsilon)
        delta = gradient.mul_(ratio.sqrt_())
        deltas.mul_(self.rho).addcmul_(delta, delta, value=1 - self.rho)
        weights.sub_(delta)


class RmsProp(Optimizer):
    """n = .9 n + .1 g'^2; w -= lr * g' / sqrt(n + epsilon), with g' = clip(g + wd * w)."""

    accumulators = ("var",)
    gamma, epsilon = 0.9, 1e-8

    def _decay(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,
        rate: float | torch.Tensor,  # noqa: ARG002 - it is a step's, decay included
    ) -> None:
        gradient.add_(weights, alpha=self._weight_decay)

    def _update(
        self,
        weights: torch.Tensor,
        gradient: torch.Tensor,
        rate: float | torch.Tensor,
        *state: torch.Tensor,
    ) -> None:
        self._clip(gradient)
        var = state[0].mul_(self.gamma).addcmul_(gradient, gradient, value=1 - self.gamma)
        gradient = self._slowed(gradient, rate)
        weights.addcdiv_(gradient, (var + self.epsilon).sqrt_(), value=-self._learning_rate)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "adam": Adam,
    "adagrad": AdaGrad,
    "adadelta": AdaDelta,
    "rmsprop": RmsProp,
}
"""The optimizers by the name that the hyperparameter `optimizer` gives them."""
