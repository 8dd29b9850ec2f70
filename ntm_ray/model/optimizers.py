"""The five optimizers as MXNet has them, which is what SageMaker NTM runs.

They differ from PyTorch's in where epsilon, weight decay and clipping enter (MXNet 1.9.1,
``python/mxnet/optimizer``): sgd, adagrad and adadelta decay weights apart from the gradient,
adadelta without any learning rate; adam and rmsprop decay before they clip. Clipping is
element by element.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntm_ray.model.hyperparameters import Hyperparameters
    from ntm_ray.model.parameters import ParameterVector


class Optimizer:
    """Changes parameters, in place, by a gradient that is summed over a mini-batch.

    Args:
        parameters: What is optimised; only its weights are decayed.
        hyperparameters: learning_rate, weight_decay, rescale_gradient and clip_gradient.
    """

    accumulators: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors that are kept from step to step."""

    def __init__(self, parameters: ParameterVector, hyperparameters: Hyperparameters) -> None:
        self._flat = parameters.flat
        self._weights = parameters.flat[: parameters.decayed]
        self._learning_rate = hyperparameters.learning_rate
        self._weight_decay = hyperparameters.weight_decay
        self._rescale = hyperparameters.rescale_gradient
        self._clip_at = hyperparameters.clip_gradient
        self._scratch = torch.empty_like(self._flat)
        self.steps = 0
        self.state_tensors = {name: torch.zeros_like(self._flat) for name in self.accumulators}

    @torch.no_grad()
    def step(self, gradient: torch.Tensor) -> None:
        """Do one step. `gradient` is laid out as the parameters and is overwritten."""
        self.steps += 1
        if self._rescale != 1.0:
            gradient.mul_(self._rescale)
        self._update(gradient)

    def load_state(self, tensors: Mapping[str, torch.Tensor], steps: int) -> None:
        """Go on from the `state_tensors` and `steps` of another optimizer of this kind."""
        for name, tensor in self.state_tensors.items():
            tensor.copy_(tensors[name])
        self.steps = steps

    def _update(self, gradient: torch.Tensor) -> None:
        raise NotImplementedError

    def _clip(self, gradient: torch.Tensor) -> torch.Tensor:
        if math.isinf(self._clip_at):
            return gradient
        return gradient.clamp_(-self._clip_at, self._clip_at)

    def _add_decay(self, gradient: torch.Tensor) -> torch.Tensor:
        if self._weight_decay:
            gradient[: len(self._weights)].add_(self._weights, alpha=self._weight_decay)
        return gradient

    def _shrink_weights(self, rate: float) -> None:
        if self._weight_decay:
            self._weights.mul_(1 - rate * self._weight_decay)


class Sgd(Optimizer):
    """w -= lr * (clip(g) + wd * w); no momentum."""

    def _update(self, gradient: torch.Tensor) -> None:
        self._add_decay(self._clip(gradient))
        self._flat.sub_(gradient, alpha=self._learning_rate)


class Adam(Optimizer):
    """Adam with decay inside the clip and epsilon outside the bias correction (epsilon-hat)."""

    accumulators = ("mean", "var")
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def _update(self, gradient: torch.Tensor) -> None:
        self._clip(self._add_decay(gradient))
        mean, var = self.state_tensors["mean"], self.state_tensors["var"]
        mean.lerp_(gradient, 1 - self.beta1)
        var.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        correction = math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        torch.sqrt(var, out=self._scratch).add_(self.epsilon)
        self._flat.addcdiv_(mean, self._scratch, value=-self._learning_rate * correction)


class AdaGrad(Optimizer):
    """h += clip(g)^2; w -= lr * (clip(g) / sqrt(h + epsilon) + wd * w)."""

    accumulators = ("history",)
    epsilon = 1e-7

    def _update(self, gradient: torch.Tensor) -> None:
        self._clip(gradient)
        history = self.state_tensors["history"].addcmul_(gradient, gradient)
        torch.add(history, self.epsilon, out=self._scratch).sqrt_()
        self._shrink_weights(self._learning_rate)
        self._flat.addcdiv_(gradient, self._scratch, value=-self._learning_rate)


class AdaDelta(Optimizer):
    """AdaDelta without a learning rate; each step also takes wd of a weight itself away."""

    accumulators = ("gradients", "deltas")
    rho, epsilon = 0.9, 1e-5

    def _update(self, gradient: torch.Tensor) -> None:
        self._clip(gradient)
        gradients, deltas = self.state_tensors["gradients"], self.state_tensors["deltas"]
        gradients.mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
        torch.add(gradients, self.epsilon, out=self._scratch)
        ratio = torch.add(deltas, self.epsilon).div_(self._scratch)
        delta = gradient.mul_(ratio.sqrt_())
        deltas.mul_(self.rho).addcmul_(delta, delta, value=1 - self.rho)
        self._shrink_weights(1.0)
        self._flat.sub_(delta)


class RmsProp(Optimizer):
    """n = .9 n + .1 g'^2; w -= lr * g' / sqrt(n + epsilon), with g' = clip(g + wd * w)."""

    accumulators = ("var",)
    gamma, epsilon = 0.9, 1e-8

    def _update(self, gradient: torch.Tensor) -> None:
        self._clip(self._add_decay(gradient))
        var = self.state_tensors["var"]
        var.mul_(self.gamma).addcmul_(gradient, gradient, value=1 - self.gamma)
        torch.add(var, self.epsilon, out=self._scratch).sqrt_()
        self._flat.addcdiv_(gradient, self._scratch, value=-self._learning_rate)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "adam": Adam,
    "adagrad": AdaGrad,
    "adadelta": AdaDelta,
    "rmsprop": RmsProp,
}
"""The optimizers by the name that the hyperparameter `optimizer` gives them."""
