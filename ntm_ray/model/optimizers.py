"""The five optimizers as MXNet has them, which is what SageMaker NTM runs.

They differ from PyTorch's in where epsilon, weight decay and clipping enter (MXNet 1.9.1,
``python/mxnet/optimizer``): sgd, adagrad and adadelta decay weights apart from the gradient,
adadelta without any learning rate; adam and rmsprop decay before they clip. Clipping is
element by element.

These run on any device. A CPU does the same in one pass: :mod:`ntm_ray.model.cpu_optimizer`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntm_ray.model.batch import Batch
    from ntm_ray.model.hyperparameters import Hyperparameters
    from ntm_ray.model.parameters import ParameterVector, SparseGradient


class Optimizer(ABC):
    """Changes parameters, in place, by a gradient that is summed over a mini-batch.

    Args:
        parameters: What is optimised; only its weights are decayed.
        hyperparameters: learning_rate, weight_decay, rescale_gradient and clip_gradient.
    """

    accumulators: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors that are kept from step to step."""

    def __init__(self, parameters: ParameterVector, hyperparameters: Hyperparameters) -> None:
        self._parameters = parameters
        self._learning_rate = hyperparameters.learning_rate
        self._weight_decay = hyperparameters.weight_decay
        self._rescale = hyperparameters.rescale_gradient
        self._clip_at = hyperparameters.clip_gradient
        self.steps = 0
        self.state_tensors = {
            name: torch.zeros_like(parameters.flat) for name in self.accumulators
        }

    def prepare(self, batch: Batch) -> None:  # noqa: B027 - here no row lags behind
        """Bring the parameters that `batch` reads up to date."""

    def settle(self) -> None:  # noqa: B027 - here no row lags behind
        """Bring all parameters and `state_tensors` up to date."""

    @torch.no_grad()
    def step(self, gradient: torch.Tensor, sparse: SparseGradient | None = None) -> None:
        """Do one step.

        Args:
            gradient: Laid out as the parameters after ``sparse_end``; it is overwritten.
            sparse: The gradient of the weight before, if there is one.
        """
        self.steps += 1
        parameters = self._parameters
        begin, middle, end = parameters.sparse_end, parameters.weights_end, parameters.others_end
        if sparse is not None:
            self._step(slice(0, begin), sparse.dense(len(parameters.rows)).view(-1), decayed=True)
        self._step(slice(begin, middle), gradient[: middle - begin], decayed=True)
        self._step(slice(middle, end), gradient[middle - begin : end - begin], decayed=False)
        width = parameters.matrix_width
        matrix = gradient[end - begin :].view(parameters.matrix.shape)
        for columns, decayed in ((slice(width), True), (slice(width, width + 1), False)):
            self._step(slice(end, None), matrix, decayed=decayed, columns=columns)

    def load_state(self, tensors: Mapping[str, torch.Tensor], steps: int) -> None:
        """Go on from the `state_tensors` and `steps` of another optimizer of this kind."""
        for name, tensor in self.state_tensors.items():
            tensor.copy_(tensors[name])
        self.steps = steps

    def _step(
        self,
        part: slice,
        gradient: torch.Tensor,
        *,
        decayed: bool,
        columns: slice | None = None,
    ) -> None:
        def chosen(flat: torch.Tensor) -> torch.Tensor:
            tensor = flat[part].view(gradient.shape)
            return tensor if columns is None else tensor[:, columns]

        weights = chosen(self._parameters.flat)
        state = [chosen(tensor) for tensor in self.state_tensors.values()]
        gradient = gradient if columns is None else gradient[:, columns]
        if self._rescale != 1.0:
            gradient.mul_(self._rescale)
        self._update(weights, gradient, self._weight_decay if decayed else 0.0, *state)

    @abstractmethod
    def _update(
        self, weights: torch.Tensor, gradient: torch.Tensor, decay: float, *state: torch.Tensor
    ) -> None:
        """Change `weights` and `state` in place; `gradient` may be overwritten."""

    def _clip(self, gradient: torch.Tensor) -> torch.Tensor:
        if math.isinf(self._clip_at):
            return gradient
        return gradient.clamp_(-self._clip_at, self._clip_at)


class Sgd(Optimizer):
    """w -= lr * (clip(g) + wd * w); no momentum."""

    def _update(
        self, weights: torch.Tensor, gradient: torch.Tensor, decay: float, *_: torch.Tensor
    ) -> None:
        self._clip(gradient).add_(weights, alpha=decay)
        weights.sub_(gradient, alpha=self._learning_rate)


class Adam(Optimizer):
    """Adam with decay inside the clip and epsilon outside the bias correction (epsilon-hat)."""

    accumulators = ("mean", "var")
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def _update(
        self, weights: torch.Tensor, gradient: torch.Tensor, decay: float, *state: torch.Tensor
    ) -> None:
        self._clip(gradient.add_(weights, alpha=decay))
        mean, var = state
        mean.lerp_(gradient, 1 - self.beta1)
        var.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        rate = self._learning_rate * self.correction(self.steps)
        weights.addcdiv_(mean, var.sqrt().add_(self.epsilon), value=-rate)

    @classmethod
    def correction(cls, steps: int) -> float:
        """Return the factor on the learning rate for averages that started from zero."""
        return math.sqrt(1 - cls.beta2**steps) / (1 - cls.beta1**steps)


class AdaGrad(Optimizer):
    """h += clip(g)^2; w -= lr * (clip(g) / sqrt(h + epsilon) + wd * w)."""

    accumulators = ("history",)
    epsilon = 1e-7

    def _update(
        self, weights: torch.Tensor, gradient: torch.Tensor, decay: float, *state: torch.Tensor
    ) -> None:
        self._clip(gradient)
        history = state[0].addcmul_(gradient, gradient)
        weights.mul_(1 - self._learning_rate * decay)
        weights.addcdiv_(gradient, (history + self.epsilon).sqrt_(), value=-self._learning_rate)


class AdaDelta(Optimizer):
    """AdaDelta without a learning rate; each step also takes wd of a weight itself away."""

    accumulators = ("gradients", "deltas")
    rho, epsilon = 0.9, 1e-5

    def _update(
        self, weights: torch.Tensor, gradient: torch.Tensor, decay: float, *state: torch.Tensor
    ) -> None:
        self._clip(gradient)
        gradients, deltas = state
        gradients.mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
        ratio = (deltas + self.epsilon).div_(gradients + self.epsilon)
        delta = gradient.mul_(ratio.sqrt_())
        deltas.mul_(self.rho).addcmul_(delta, delta, value=1 - self.rho)
        weights.mul_(1 - decay)
        weights.sub_(delta)


class RmsProp(Optimizer):
    """n = .9 n + .1 g'^2; w -= lr * g' / sqrt(n + epsilon), with g' = clip(g + wd * w)."""

    accumulators = ("var",)
    gamma, epsilon = 0.9, 1e-8

    def _update(
        self, weights: torch.Tensor, gradient: torch.Tensor, decay: float, *state: torch.Tensor
    ) -> None:
        self._clip(gradient.add_(weights, alpha=decay))
        var = state[0].mul_(self.gamma).addcmul_(gradient, gradient, value=1 - self.gamma)
        weights.addcdiv_(gradient, (var + self.epsilon).sqrt_(), value=-self._learning_rate)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "adam": Adam,
    "adagrad": AdaGrad,
    "adadelta": AdaDelta,
    "rmsprop": RmsProp,
}
"""The optimizers by the name that the hyperparameter `optimizer` gives them."""
