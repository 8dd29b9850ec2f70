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

from ntm_ray.model.parameters import ParameterVector, SparseGradient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntm_ray.model.batch import Batch, SparseRows
    from ntm_ray.model.hyperparameters import Activation, Hyperparameters

INITIAL_SCALE = 0.07
"""Weights start from Uniform(-0.07, 0.07), as MXNet, under SageMaker NTM, has it."""

BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.9
"""MXNet's defaults for BatchNorm: ``running = 0.9 * running + 0.1 * batch``."""

_TILE_BYTES = 1 << 26
"""Most memory for the exponentials of logits: documents are decoded in tiles of that size."""

_TILE_DOCUMENTS = 512
_CHUNK_BYTES = {"cpu": 1 << 20, "cuda": 1 << 26, "mps": 1 << 26}
"""A tile is made in chunks of the vocabulary: what stays in a core's cache, or fills a GPU."""

_TOTALS = (1e-20, 1e30)
"""A sum of exponentials beyond has lost terms to float32's least number, or nearly overflows."""


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
        self.parameters = ParameterVector(
            shapes,
            dtype=dtype,
            device=self.device,
            sparse="encoder_0_weight",
            joined=("projection_weight", "projection_bias"),
        )
        # The decoder multiplies by weight, bias and ones in one product: see _decode.
        self.parameters.matrix[:, -1] = 1
        self.gradient = self.parameters.gradient()
        self.encoder_gradient: SparseGradient | None = None
        self.running = ParameterVector(running, dtype=dtype, device=self.device)
        # Kept from batch to batch: fresh memory costs a page fault every 4 KiB, which is more
        # than the product that fills it.
        self._exp = torch.empty(0, dtype=dtype, device=self.device)

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
            name: vector[name].cpu().clone(memory_format=torch.contiguous_format)
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
        """Return the losses of `batch` and leave the gradient of their sum behind.

        It is in `self.encoder_gradient` for ``encoder_0_weight``, in `self.gradient` for others.

        Args:
            batch: The documents, with their transpose.
            noise: Standard normal noise ``(documents, topics)``.
        """
        layers = self._encode(batch, training=True)
        mean, log_sigma = self._heads(layers)
        sigma = log_sigma.exp()
        scaled_noise = sigma * noise
        theta = torch.softmax(mean + scaled_noise, dim=1)
        recons, d_theta = self._decode(batch, theta, gradient=True)

        d_mean = theta * (d_theta - torch.linalg.vecdot(theta, d_theta)[:, None])
        d_log_sigma = sigma.square_().sub_(1)
        kld = 0.5 * (mean.square() + d_log_sigma).sub_(log_sigma, alpha=2).sum(dim=1)
        d_log_sigma.addcmul_(d_mean, scaled_noise)
        d_mean.add_(mean)
        self._encode_backward(batch, layers, d_mean, d_log_sigma)
        return DocumentLosses(recons=recons, kld=kld)

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
                self.encoder_gradient = SparseGradient(_transposed(batch), d_linear)

    def _decode(
        self, batch: Batch, theta: torch.Tensor, *, gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstruction terms, and their gradient by theta (zeros without).

        recons_d = n_d logsumexp(logits_d) - sum_w x_dw logit_dw. The sparse sum comes from X W,
        which the gradient needs too. With E = exp(logits) and s its row sums, the gradient by
        the logits is diag(n / s) E - X: the scale goes onto theta, never onto E. E is written
        and read as few times as can be: W, b and a column of ones are one matrix ``(vocabulary,
        topics + 2)``, so that one product gives logits with bias, one E W and s, and one the
        gradients of W and b.

        Softmax needs no greatest logit taken off unless exponentials overflow or all but vanish,
        which their sums show; then it is done all over with it taken off.
        """
        decoder, topics = self.parameters.matrix, theta.shape[1]
        wide = torch.nn.functional.pad(theta, (0, 2))
        wide[:, topics] = 1
        counts_decoder = batch.counts @ decoder
        recons = -torch.linalg.vecdot(counts_decoder, wide)
        d_theta = -counts_decoder[:, :topics]
        # Elsewhere than on a CPU, looking at a sum would have the host wait for the device.
        exact = self.device.type != "cpu"
        for tile in _tiles(len(batch), self._tile_documents):
            tokens, of_tile = batch.tokens[tile], wide[tile]
            chunks, product, highest = self._exponentials(of_tile, exact=exact)
            if not exact and not _in_range(product[:, -1]):
                chunks, product, highest = self._exponentials(of_tile, exact=True)
            total = product[:, -1]
            recons[tile].addcmul_(tokens, total.log().add_(highest))
            if gradient:
                scale = (tokens / total)[:, None]
                d_theta[tile].addcmul_(scale, product[:, :topics])
                scaled = scale * of_tile
                for words, exp in chunks:
                    d_words = self.gradient.matrix[words]
                    torch.addmm(d_words, exp.T, scaled, beta=int(tile.start > 0), out=d_words)
        if gradient:
            _transposed(batch).subtract_product(wide, self.gradient.matrix)
        return recons, d_theta

    @property
    def _tile_documents(self) -> int:
        row = self.hyperparameters.feature_dim * self.dtype.itemsize
        return max(1, min(_TILE_DOCUMENTS, _TILE_BYTES // row))

    def _exponentials(
        self, wide: torch.Tensor, *, exact: bool
    ) -> tuple[list[tuple[slice, torch.Tensor]], torch.Tensor, torch.Tensor | float]:
        """Return E of some documents, its product with the decoder, and what logits were lowered.

        E is in chunks: which words, and ``(documents, words)``. The product is ``(documents,
        topics + 2)``. `exact` lowers logits by each document's greatest, ``(documents,)``.
        """
        documents, vocabulary = len(wide), self.hyperparameters.feature_dim
        if self._exp.numel() < documents * vocabulary:
            self._exp = self._exp.new_empty(documents * vocabulary)
        size = _CHUNK_BYTES[self.device.type] // (documents * self.dtype.itemsize)
        chunks = []
        for words in _tiles(vocabulary, max(_TILE_DOCUMENTS, size)):
            flat = self._exp[documents * words.start : documents * words.stop]
            chunks.append((words, flat.view(documents, words.stop - words.start)))

        decoder, product = self.parameters.matrix, torch.zeros_like(wide)
        if not exact:
            for words, exp in chunks:
                torch.mm(wide, decoder[words].T, out=exp)
                product.addmm_(exp.exp_(), decoder[words])
            return chunks, product, 0.0
        for words, exp in chunks:
            torch.mm(wide, decoder[words].T, out=exp)
        highest = torch.stack([exp.amax(dim=1) for _, exp in chunks]).amax(dim=0)
        for words, exp in chunks:
            product.addmm_(exp.sub_(highest[:, None]).exp_(), decoder[words])
        return chunks, product, highest


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


def _in_range(totals: torch.Tensor) -> bool:
    least, greatest = torch.aminmax(totals)
    return float(least) > _TOTALS[0] and float(greatest) < _TOTALS[1]


def _tiles(length: int, size: int) -> list[slice]:
    """Return slices of at most `size` that cover ``range(length)``, of nearly equal lengths."""
    number = -(-length // size)
    return [slice(length * i // number, length * (i + 1) // number) for i in range(number)]


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
