"""The neural topic model as a function: forward pass, loss, and gradients by hand.

For a document x of n words, with the noise e ~ N(0, I) ``(topics,)``::

    pi = MLP(x)     mean = pi M + a     log_sigma = pi S + c     h = mean + exp(log_sigma) e
    theta = softmax(h)      log p(x | h) = sum_w x_w log softmax(W theta + b)_w
    recons = -log p(x | h)  kld = -1/2 sum_k (1 - mean^2 + 2 log_sigma - exp(2 log_sigma))

as in Miao, Yu and Blunsom, "Neural Variational Inference for Text Processing" (2016), whose
model SageMaker NTM is, with the Gaussian softmax of Miao, Grefenstette and Blunsom (2017).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ntm_ray.model.parameters import ParameterVector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntm_ray.model.batch import Batch, SparseRows
    from ntm_ray.model.hyperparameters import Activation, Hyperparameters

INITIAL_SCALE = 0.07
"""Weights start from Uniform(-0.07, 0.07), as MXNet, under SageMaker NTM, has it."""

BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.9
"""MXNet's defaults for BatchNorm: ``running = 0.9 * running + 0.1 * batch``."""

_TILE_BYTES = {"cpu": 1 << 20, "cuda": 1 << 26, "mps": 1 << 26}
"""Most memory for logits at a time: what stays in a core's cache, or what fills a GPU."""


@dataclass(frozen=True)
class DocumentLosses:
    """Losses of each document of a batch, in nats (not a word).

    Attributes:
        recons: Reconstruction term, ``(documents,)``.
        kld: KL divergence of the posterior from N(0, I), ``(documents,)``.
    """

    recons: torch.Tensor
    kld: torch.Tensor


@dataclass
class _Layer:
    """What a hidden layer's backward pass needs of its forward pass."""

    output: torch.Tensor
    normalised: torch.Tensor | None = None
    scale: torch.Tensor | None = None


class Network:
    """The parameters of one NTM and what is computed from them.

    Parameter names and shapes (hidden sizes h0, h1, ...): ``encoder_0_weight`` (vocabulary, h0),
    ``encoder_1_weight`` (h0, h1), ..., ``mean_weight`` and ``log_sigma_weight`` (hidden, topics),
    ``projection_weight`` (vocabulary, topics); each with a ``_bias``, but that with batch
    normalisation a hidden layer has a ``_beta``, and the running statistics ``_mean``, ``_var``.

    Args:
        hyperparameters: Sizes of the network, its activation, and whether to normalise.
        dtype: Floating-point type; float64 is for checks.
        device: Where the parameters lie.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.dtype = dtype
        self.device = device or torch.device("cpu")
        self._activation: Activation = hyperparameters.encoder_layers_activation
        self._offset = _offset(hyperparameters)
        self._layers = [f"encoder_{i}" for i in range(len(hyperparameters.layer_sizes))]
        shapes, running = tensor_shapes(hyperparameters)
        self.parameters = ParameterVector(shapes, dtype=dtype, device=self.device)
        self.gradient = self.parameters.zeros_like()
        self.running = ParameterVector(running, dtype=dtype, device=self.device)
        # Kept from batch to batch: fresh memory costs a page fault every 4 KiB, which is more
        # than the product that fills it.
        vocabulary = hyperparameters.feature_dim
        rows = max(1, _TILE_BYTES[self.device.type] // (vocabulary * dtype.itemsize))
        self._logits = torch.empty(rows, vocabulary, dtype=dtype, device=self.device)

    def initialise(self, generator: np.random.Generator) -> None:
        """Set weights to Uniform(-0.07, 0.07), biases to 0, running variances to 1."""
        for name in self.parameters:
            values = self.parameters[name]
            if name.endswith("_weight"):
                drawn = generator.random(tuple(values.shape), dtype=np.float32)
                values.copy_(torch.from_numpy((2 * drawn - 1) * np.float32(INITIAL_SCALE)))
            else:
                values.zero_()
        for name in self.running:
            self.running[name].fill_(1.0 if name.endswith("_var") else 0.0)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return copies, on the CPU, of all parameters and running statistics by name."""
        return {
            name: vector[name].detach().to("cpu", copy=True)
            for vector in (self.parameters, self.running)
            for name in vector
        }

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over what :meth:`tensors` returned for a network of the same shapes."""
        for vector in (self.parameters, self.running):
            for name in vector:
                vector[name].copy_(tensors[name])

    @torch.no_grad()
    def posterior(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the posterior's mean and log sigma, ``(documents, topics)`` each."""
        return self._heads(self._encode(batch, training=False))

    @torch.no_grad()
    def topic_weights(self, batch: Batch) -> torch.Tensor:
        """Return theta at the posterior's mean, ``(documents, topics)``; rows sum to 1."""
        return torch.softmax(self.posterior(batch)[0], dim=1)

    @torch.no_grad()
    def losses(self, batch: Batch, noise: torch.Tensor) -> DocumentLosses:
        """Return the losses of `batch` in evaluation (running statistics, no gradient).

        Args:
            batch: The documents.
            noise: Standard normal noise ``(documents, topics)``.
        """
        mean, log_sigma = self.posterior(batch)
        theta = torch.softmax(mean + log_sigma.exp() * noise, dim=1)
        recons, _ = self._decode(batch, theta, gradient=False)
        return DocumentLosses(recons=recons, kld=kl_divergence(mean, log_sigma))

    @torch.no_grad()
    def train_losses(self, batch: Batch, noise: torch.Tensor) -> DocumentLosses:
        """Return the losses of `batch` and leave the gradient of their sum in `self.gradient`.

        Args:
            batch: The documents, with their transpose.
            noise: Standard normal noise ``(documents, topics)``.
        """
        layers = self._encode(batch, training=True)
        mean, log_sigma = self._heads(layers)
        scaled_noise = log_sigma.exp() * noise
        theta = torch.softmax(mean + scaled_noise, dim=1)
        recons, d_theta = self._decode(batch, theta, gradient=True)

        d_h = theta * (d_theta - (theta * d_theta).sum(dim=1, keepdim=True))
        d_mean = d_h + mean
        d_log_sigma = torch.exp(2 * log_sigma).sub_(1).addcmul_(d_h, scaled_noise)
        self._encode_backward(batch, layers, d_mean, d_log_sigma)
        return DocumentLosses(recons=recons, kld=kl_divergence(mean, log_sigma))

    def _heads(self, layers: list[_Layer]) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, p = layers[-1].output, self.parameters
        mean = torch.addmm(p["mean_bias"], hidden, p["mean_weight"])
        return mean, torch.addmm(p["log_sigma_bias"], hidden, p["log_sigma_weight"])

    def _encode(self, batch: Batch, *, training: bool) -> list[_Layer]:
        layers: list[_Layer] = []
        for name in self._layers:
            weight = self.parameters[f"{name}_weight"]
            linear = layers[-1].output @ weight if layers else batch.counts @ weight
            layer = _Layer(linear)
            if self.hyperparameters.batch_norm:
                linear = self._normalise(name, layer, training=training)
            linear = linear + self.parameters[f"{name}_{self._offset}"]
            layer.output = _activate(self._activation, linear)
            layers.append(layer)
        return layers

    def _normalise(self, name: str, layer: _Layer, *, training: bool) -> torch.Tensor:
        linear = layer.output
        running_mean, running_var = self.running[f"{name}_mean"], self.running[f"{name}_var"]
        if training:
            var, mean = torch.var_mean(linear, dim=0, correction=0)
            running_mean.lerp_(mean, 1 - BATCH_NORM_MOMENTUM)
            running_var.lerp_(var, 1 - BATCH_NORM_MOMENTUM)
        else:
            mean, var = running_mean, running_var
        layer.scale = torch.rsqrt(var + BATCH_NORM_EPSILON)
        layer.normalised = (linear - mean) * layer.scale
        return layer.normalised

    def _encode_backward(
        self, batch: Batch, layers: list[_Layer], d_mean: torch.Tensor, d_log_sigma: torch.Tensor
    ) -> None:
        p, g = self.parameters, self.gradient
        hidden = layers[-1].output
        for head, d_head in (("mean", d_mean), ("log_sigma", d_log_sigma)):
            torch.mm(hidden.T, d_head, out=g[f"{head}_weight"])
            torch.sum(d_head, dim=0, out=g[f"{head}_bias"])
        d_hidden = d_mean @ p["mean_weight"].T
        d_hidden.addmm_(d_log_sigma, p["log_sigma_weight"].T)
        for i in reversed(range(len(layers))):
            name, layer = self._layers[i], layers[i]
            d_linear = _activate_backward(self._activation, layer.output, d_hidden)
            torch.sum(d_linear, dim=0, out=g[f"{name}_{self._offset}"])
            if layer.normalised is not None and layer.scale is not None:
                d_linear = _normalise_backward(layer.normalised, layer.scale, d_linear)
            if i:
                torch.mm(layers[i - 1].output.T, d_linear, out=g[f"{name}_weight"])
                d_hidden = d_linear @ p[f"{name}_weight"].T
            else:
                g[f"{name}_weight"].copy_(_transposed(batch) @ d_linear)

    def _decode(
        self, batch: Batch, theta: torch.Tensor, *, gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstruction terms, and their gradient by theta (zeros without).

        recons_d = n_d logsumexp(logits_d) - sum_w x_dw logit_dw. The sparse sum comes from X W,
        which the gradient needs too. With E = exp(logits - row maximum) and s its row sums, the
        gradient by the logits is diag(n / s) E - X: the scale goes onto theta, never onto E.
        Logits exist for as many documents at a time as stay in the cache.
        """
        weight, bias = self.parameters["projection_weight"], self.parameters["projection_bias"]
        topics = weight.shape[1]
        # A column of ones makes the bias one more topic: one product gives both gradients.
        with_bias = torch.cat([weight, bias[:, None]], dim=1)
        theta_one = torch.cat([theta, torch.ones_like(theta[:, :1])], dim=1)
        counts_weight = batch.counts @ with_bias
        recons = -(counts_weight * theta_one).sum(dim=1)
        d_theta = -counts_weight[:, :topics]
        d_weight = (_transposed(batch) @ theta_one).neg_() if gradient else None

        rows = len(self._logits)
        for start in range(0, len(batch), rows):
            tile = slice(start, start + rows)
            tokens = batch.tokens[tile]
            logits = torch.mm(theta_one[tile], with_bias.T, out=self._logits[: len(tokens)])
            highest = logits.amax(dim=1, keepdim=True)
            exp = logits.sub_(highest).exp_()
            total = exp.sum(dim=1)
            recons[tile] += tokens * (highest[:, 0] + total.log())
            if d_weight is not None:
                scale = (tokens / total)[:, None]
                d_theta[tile] += scale * (exp @ weight)
                d_weight.addmm_(exp.T, scale * theta_one[tile])
        if d_weight is not None:
            self.gradient["projection_weight"].copy_(d_weight[:, :topics])
            self.gradient["projection_bias"].copy_(d_weight[:, topics])
        return recons, d_theta


def tensor_shapes(
    hyperparameters: Hyperparameters,
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Return the shapes of a network's parameters and of its running statistics, by name."""
    sizes = (hyperparameters.feature_dim, *hyperparameters.layer_sizes)
    topics = hyperparameters.num_topics
    shapes: dict[str, tuple[int, ...]] = {}
    running: dict[str, tuple[int, ...]] = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        shapes[f"encoder_{i}_weight"] = (inputs, outputs)
        shapes[f"encoder_{i}_{_offset(hyperparameters)}"] = (outputs,)
        if hyperparameters.batch_norm:
            running[f"encoder_{i}_mean"] = running[f"encoder_{i}_var"] = (outputs,)
    for head in ("mean", "log_sigma"):
        shapes[f"{head}_weight"] = (sizes[-1], topics)
        shapes[f"{head}_bias"] = (topics,)
    shapes["projection_weight"] = (hyperparameters.feature_dim, topics)
    shapes["projection_bias"] = (hyperparameters.feature_dim,)
    return shapes, running


def _offset(hyperparameters: Hyperparameters) -> str:
    return "beta" if hyperparameters.batch_norm else "bias"


def kl_divergence(mean: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
    """Return KL(N(mean, sigma^2) || N(0, I)) of each document, in nats, ``(documents,)``."""
    return -0.5 * (1 - mean.square() + 2 * log_sigma - torch.exp(2 * log_sigma)).sum(dim=1)


def _transposed(batch: Batch) -> SparseRows:
    if batch.transposed is None:
        raise ValueError(
            "a batch for training needs its transpose: Batch.of(..., transposed=True)"
        )
    return batch.transposed


def _activate(activation: Activation, linear: torch.Tensor) -> torch.Tensor:
    if activation == "sigmoid":
        return linear.sigmoid_()
    return linear.tanh_() if activation == "tanh" else linear.relu_()


def _activate_backward(
    activation: Activation, output: torch.Tensor, d_output: torch.Tensor
) -> torch.Tensor:
    if activation == "sigmoid":
        return d_output * output * (1 - output)
    if activation == "tanh":
        return d_output * (1 - output.square())
    return d_output * (output > 0)


def _normalise_backward(
    normalised: torch.Tensor, scale: torch.Tensor, d_normalised: torch.Tensor
) -> torch.Tensor:
    """Take a gradient back through ``normalised = (x - mean(x)) / sqrt(var(x) + epsilon)``."""
    along = (d_normalised * normalised).mean(dim=0)
    return scale * (d_normalised - d_normalised.mean(dim=0) - normalised * along)
