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

import torch

from ntm_ray.model.decoder import Decoder
from ntm_ray.model.initial import decoder_start, drawn_weights
from ntm_ray.model.parameters import ParameterVector, WordGradient
from ntm_ray.model.posterior import Posterior
from ntm_ray.model.products import Products

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from scipy.sparse import csr_matrix

    from ntm_ray.model.batch import Batch
    from ntm_ray.model.hyperparameters import Activation, Hyperparameters

BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.9
"""MXNet's defaults for BatchNorm: ``running = 0.9 * running + 0.1 * batch``."""


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
        products: How dense matrices are multiplied in training; in evaluation, exactly.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        products: Products | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.dtype = dtype
        self.device = device or torch.device("cpu")
        self._activation: Activation = hyperparameters.encoder_layers_activation
        self._offset = _offset(hyperparameters)
        self._layers = [f"encoder_{i}" for i in range(len(hyperparameters.layer_sizes))]
        shapes, running = tensor_shapes(hyperparameters)
        self.parameters = ParameterVector(
            shapes,
            dtype=dtype,
            device=self.device,
            sparse="encoder_0_weight",
            joined=("projection_weight", "projection_bias"),
        )
        # The decoder multiplies by weight, bias and ones in one product: see Decoder.
        self.parameters.matrix[:, hyperparameters.num_topics + 1] = 1
        self.gradient = self.parameters.gradient()
        self.encoder_gradient: WordGradient | None = None
        self.running = ParameterVector(running, dtype=dtype, device=self.device)
        self._exact, self._products = Products(), products or Products()
        self._decoder, self._training_decoder = (
            Decoder(self.parameters.matrix, self.gradient.matrix, hyperparameters.num_topics, how)
            for how in (self._exact, self._products)
        )

    def initialise(self, generator: np.random.Generator) -> None:
        """Set weights to Uniform(-0.07, 0.07), biases to 0, running variances to 1."""
        for name in self.parameters:
            values = self.parameters[name]
            if name.endswith("_weight"):
                for rows, drawn in drawn_weights(values.shape, generator):
                    values[rows].copy_(torch.from_numpy(drawn))
            else:
                values.zero_()
        for name in self.running:
            self.running[name].fill_(1.0 if name.endswith("_var") else 0.0)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return copies, on the CPU, of all parameters and running statistics by name."""
        return {
            name: vector[name].cpu().clone(memory_format=torch.contiguous_format)
            for vector in (self.parameters, self.running)
            for name in vector
        }

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over what :meth:`tensors` returned for a network of the same shapes."""
        for vector in (self.parameters, self.running):
            for name in vector:
                vector[name].copy_(tensors[name])

    @torch.inference_mode()
    def posterior(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the posterior's mean and log sigma, ``(documents, topics)`` each."""
        return self._heads(self._encode(batch, training=False), self._exact)

    @torch.inference_mode()
    def encoded_weights(self, batch: Batch) -> torch.Tensor:
        """Return theta at the posterior's mean, ``(documents, topics)``; rows sum to 1."""
        return torch.softmax(self.posterior(batch)[0], dim=1)

    def topic_weights(self, batch: Batch) -> torch.Tensor:
        """Return the topic weights that the model gives out, ``(documents, topics)``."""
        return self.encoded_weights(batch)

    def prior_weights(self) -> torch.Tensor:
        """Return the topic weights of a document without a word, ``(topics,)``."""
        topics = self.hyperparameters.num_topics
        return torch.full((topics,), 1 / topics, dtype=self.dtype, device=self.device)

    @torch.inference_mode()
    def reconstruction(self, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
        """Return the negative log likelihood of documents given topic weights, in nats.

        Args:
            batch: The documents.
            weights: Their topic weights, ``(documents, topics)``.
        """
        return self._decoder.recons(batch, self._widened(weights))

    @torch.inference_mode()
    def losses(self, batch: Batch, noise: torch.Tensor) -> DocumentLosses:
        """Return the losses of `batch` in evaluation (running statistics, no gradient).

        Args:
            batch: The documents.
            noise: Standard normal noise ``(documents, topics)``.
        """
        mean, log_sigma = self.posterior(batch)
        wide = self._sample(mean, log_sigma, noise).wide
        return DocumentLosses(
            recons=self._decoder.recons(batch, wide), kld=self.kl_divergence(mean, log_sigma)
        )

    @torch.inference_mode()
    def train_losses(self, batch: Batch, noise: torch.Tensor) -> DocumentLosses:
        """Return the losses of `batch` and leave the gradient of their sum behind.

        It is in `self.encoder_gradient` for ``encoder_0_weight``, in `self.gradient` for others.

        Args:
            batch: The documents, with their transpose.
            noise: Standard normal noise ``(documents, topics)``.
        """
        layers = self._encode(batch, training=True)
        posterior = self._sample(*self._heads(layers, self._products), noise)
        losses = self._training_decoder.with_gradient(batch, posterior)
        self._encode_backward(batch, layers, losses.d_mean, losses.d_log_sigma)
        return DocumentLosses(recons=losses.recons, kld=losses.kld)

    def kl_divergence(self, mean: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
        """Return the KL divergence of each document's posterior from the prior, in nats."""
        return kl_divergence(mean, log_sigma)

    def start_from(
        self, train: csr_matrix, hyperparameters: Hyperparameters, generator: np.random.Generator
    ) -> None:
        """Add to the decoder what it starts from; see `initial.decoder_start`."""
        if (start := decoder_start(train, hyperparameters, generator)) is not None:
            for name, added in zip(("weight", "bias"), start, strict=True):
                of_network = self.parameters[f"projection_{name}"]
                of_network.add_(torch.from_numpy(added).to(of_network))

    def _sample(
        self, mean: torch.Tensor, log_sigma: torch.Tensor, noise: torch.Tensor
    ) -> Posterior:
        sigma = log_sigma.exp()
        theta = torch.softmax(torch.addcmul(mean, sigma, noise), dim=1)
        return Posterior(mean, log_sigma, sigma, noise, self._widened(theta))

    def _widened(self, theta: torch.Tensor) -> torch.Tensor:
        """Return theta and a one side by side, as wide as the decoder's matrix."""
        topics = theta.shape[1]
        wide = theta.new_zeros(len(theta), self.parameters.matrix.shape[1])
        wide[:, :topics] = theta
        wide[:, topics].fill_(1)
        return wide

    def _heads(
        self, layers: list[_Layer], products: Products
    ) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, p = layers[-1].output, self.parameters
        mean = products.affine(p["mean_bias"], hidden, p["mean_weight"])
        return mean, products.affine(p["log_sigma_bias"], hidden, p["log_sigma_weight"])

    def _encode(self, batch: Batch, *, training: bool) -> list[_Layer]:
        layers: list[_Layer] = []
        products = self._products if training else self._exact
        for name in self._layers:
            weight, offset = (
                self.parameters[f"{name}_{part}"] for part in ("weight", self._offset)
            )
            if not layers:
                linear = (batch.counts @ self.parameters.rows)[:, : len(offset)]
            else:
                linear = products(layers[-1].output, weight)
            layer = _Layer(linear)
            if self.hyperparameters.batch_norm:
                linear = self._normalise(name, layer, training=training)
            layer.output = _activate(self._activation, linear.add_(offset))
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
        return layer.normalised.clone()

    def _encode_backward(
        self, batch: Batch, layers: list[_Layer], d_mean: torch.Tensor, d_log_sigma: torch.Tensor
    ) -> None:
        p, g, products = self.parameters, self.gradient, self._products
        hidden = layers[-1].output
        for head, d_head in (("mean", d_mean), ("log_sigma", d_log_sigma)):
            products(hidden.T, d_head, out=g[f"{head}_weight"])
            torch.sum(d_head, dim=0, out=g[f"{head}_bias"])
        d_hidden = self._d_output(batch, len(layers) - 1)
        products(d_mean, p["mean_weight"].T, out=d_hidden)
        products.add(d_hidden, d_log_sigma, p["log_sigma_weight"].T)
        for i in reversed(range(len(layers))):
            name, layer = self._layers[i], layers[i]
            d_offset = g[f"{name}_{self._offset}"]
            _activate_backward(self._activation, layer.output, d_hidden, d_offset)
            if layer.normalised is not None and layer.scale is not None:
                _normalise_backward(layer.normalised, layer.scale, d_hidden)
            if i:
                products(layers[i - 1].output.T, d_hidden, out=g[f"{name}_weight"])
                d_input = self._d_output(batch, i - 1)
                d_hidden = products(d_hidden, p[f"{name}_weight"].T, out=d_input)

    def _d_output(self, batch: Batch, layer: int) -> torch.Tensor:
        """Return memory for the gradient by a layer's output; the first one's is kept."""
        width = self.hyperparameters.layer_sizes[layer]
        if layer:
            return self.parameters.flat.new_empty(len(batch), width)
        d = self.parameters.flat.new_zeros(len(batch), self.parameters.rows.shape[1])
        self.encoder_gradient = WordGradient(batch.for_training, d)
        return d[:, :width]


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
    if hyperparameters.extensions.learns_prior:
        running["prior_mean"] = (topics,)
    return shapes, running


def _offset(hyperparameters: Hyperparameters) -> str:
    return "beta" if hyperparameters.batch_norm else "bias"


def kl_divergence(mean: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
    """Return KL(N(mean, sigma^2) || N(0, I)) of each document, in nats, ``(documents,)``."""
    return -0.5 * (1 - mean.square() + 2 * log_sigma - torch.exp(2 * log_sigma)).sum(dim=1)


def _activate(activation: Activation, linear: torch.Tensor) -> torch.Tensor:
    if activation == "sigmoid":
        return linear.sigmoid_()
    return linear.tanh_() if activation == "tanh" else linear.relu_()


def _activate_backward(
    activation: Activation, output: torch.Tensor, d: torch.Tensor, d_offset: torch.Tensor
) -> None:
    """Take `d` back through an activation in place, and sum it into `d_offset`."""
    # What autograd calls: one operation each, not three.
    if activation == "sigmoid":
        torch.ops.aten.sigmoid_backward.grad_input(d, output, grad_input=d)
    elif activation == "tanh":
        torch.ops.aten.tanh_backward.grad_input(d, output, grad_input=d)
    else:
        torch.ops.aten.threshold_backward.grad_input(d, output, 0, grad_input=d)
    torch.sum(d, dim=0, out=d_offset)


def _normalise_backward(normalised: torch.Tensor, scale: torch.Tensor, d: torch.Tensor) -> None:
    """Take `d` back, in place, through ``normalised = (x - mean(x)) / sqrt(var(x) + epsilon)``."""
    along = (d * normalised).mean(dim=0)
    d.sub_(d.mean(dim=0)).sub_(normalised * along).mul_(scale)
