"""The network with numba's kernels in its backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ntm_ray.model import kernels
from ntm_ray.model.interim.decoder import Decoder
from ntm_ray.model.network import DocumentLosses, Network, _Layer
from ntm_ray.model.parameters import SparseGradient

if TYPE_CHECKING:
    from ntm_ray.model.hyperparameters import Activation, Hyperparameters
    from ntm_ray.model.interim.batch import Batch


class InterimNetwork(Network):
    """A network on a CPU."""

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        super().__init__(hyperparameters)
        self._lazy_gradient: SparseGradient | None = None
        self._fast_decoder = Decoder(
            self.parameters.matrix, self.gradient.matrix, hyperparameters.num_topics
        )

    @torch.inference_mode()
    def losses(self, batch: Batch, noise: torch.Tensor) -> DocumentLosses:  # type: ignore[override]
        """As `Network.losses`."""
        posterior = self._sample(*self.posterior(batch), noise)  # type: ignore[arg-type]
        losses = self._fast_decoder(batch, posterior, gradient=False)  # type: ignore[arg-type]
        return DocumentLosses(recons=losses.recons, kld=losses.kld)

    @torch.inference_mode()
    def train_losses(self, batch: Batch, noise: torch.Tensor) -> DocumentLosses:  # type: ignore[override]
        """As `Network.train_losses`."""
        layers = self._encode(batch, training=True)  # type: ignore[arg-type]
        posterior = self._sample(*self._heads(layers, self._exact), noise)
        losses = self._fast_decoder(batch, posterior, gradient=True)  # type: ignore[arg-type]
        self._encode_backward(batch, layers, losses.d_mean, losses.d_log_sigma)
        return DocumentLosses(recons=losses.recons, kld=losses.kld)

    @property
    def lazy_gradient(self) -> SparseGradient | None:
        """The gradient of ``encoder_0_weight``."""
        return self._lazy_gradient

    def _encode_backward(  # type: ignore[override]
        self, batch: Batch, layers: list[_Layer], d_mean: torch.Tensor, d_log_sigma: torch.Tensor
    ) -> None:
        p, g = self.parameters, self.gradient
        hidden = layers[-1].output
        for head, d_head in (("mean", d_mean), ("log_sigma", d_log_sigma)):
            torch.mm(hidden.T, d_head, out=g[f"{head}_weight"])
            torch.sum(d_head, dim=0, out=g[f"{head}_bias"])
        d_hidden = self._d_output(batch, len(layers) - 1)
        torch.mm(d_mean, p["mean_weight"].T, out=d_hidden)
        d_hidden.addmm_(d_log_sigma, p["log_sigma_weight"].T)
        for i in reversed(range(len(layers))):
            name, layer = self._layers[i], layers[i]
            d_offset = g[f"{name}_{self._offset}"]
            _activate_backward(self._activation, layer.output, d_hidden, d_offset)
            if layer.normalised is not None and layer.scale is not None:
                _normalise_backward(layer.normalised, layer.scale, d_hidden)
            if i:
                torch.mm(layers[i - 1].output.T, d_hidden, out=g[f"{name}_weight"])
                d_input = self._d_output(batch, i - 1)
                d_hidden = torch.mm(d_hidden, p[f"{name}_weight"].T, out=d_input)

    def _d_output(  # type: ignore[override]
        self, batch: Batch, layer: int
    ) -> torch.Tensor:
        """Return memory for the gradient by a layer's output; the first one's is kept."""
        width = self.hyperparameters.layer_sizes[layer]
        if layer:
            return self.parameters.flat.new_empty(len(batch), width)
        d = self.parameters.flat.new_zeros(len(batch), self.parameters.rows.shape[1])
        self._lazy_gradient = SparseGradient(batch.for_training, d)
        return d[:, :width]


def _activate_backward(
    activation: Activation, output: torch.Tensor, d: torch.Tensor, d_offset: torch.Tensor
) -> None:
    """Take `d` back through an activation in place, and sum it into `d_offset`."""
    if d.is_cpu:
        number = {"sigmoid": kernels.SIGMOID, "tanh": kernels.TANH, "relu": kernels.RELU}
        arrays = (tensor.numpy() for tensor in (output, d, d_offset))
        kernels.through_activation(number[activation], *arrays)
        return
    if activation == "sigmoid":
        d.mul_(output * (1 - output))
    elif activation == "tanh":
        d.mul_(1 - output.square())
    else:
        d.mul_(output > 0)
    torch.sum(d, dim=0, out=d_offset)


def _normalise_backward(normalised: torch.Tensor, scale: torch.Tensor, d: torch.Tensor) -> None:
    """Take `d` back, in place, through ``normalised = (x - mean(x)) / sqrt(var(x) + epsilon)``."""
    along = (d * normalised).mean(dim=0)
    d.sub_(d.mean(dim=0)).sub_(normalised * along).mul_(scale)
