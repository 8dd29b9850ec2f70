"""From a decoder's products to losses, and back to the heads of the encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Posterior:
    """The posterior of each document, and a sample of it; each is ``(documents, topics)``.

    Attributes:
        mean: Mean of h.
        log_sigma: Logarithm of its standard deviation.
        sigma: Its standard deviation.
        noise: Standard normal noise: ``h = mean + sigma * noise``.
        wide: Theta, the softmax of h, then a column of ones, then zeros.
    """

    mean: torch.Tensor
    log_sigma: torch.Tensor
    sigma: torch.Tensor
    noise: torch.Tensor
    wide: torch.Tensor

    def __getitem__(self, tile: slice) -> Posterior:
        return Posterior(
            self.mean[tile], self.log_sigma[tile], self.sigma[tile], self.noise[tile],
            self.wide[tile],
        )  # fmt: skip


@dataclass(frozen=True)
class PosteriorLosses:
    """Losses of each document, and the gradients of their sum.

    Attributes:
        recons: Reconstruction term in nats, ``(documents,)``.
        kld: KL divergence in nats, ``(documents,)``.
        scaled: ``wide`` times tokens over the sum of exponentials: what the exponentials are
            multiplied by for the gradient of the decoder.
        d_mean: Gradient by the mean, ``(documents, topics)``.
        d_log_sigma: Gradient by log sigma, ``(documents, topics)``.
    """

    recons: torch.Tensor
    kld: torch.Tensor
    scaled: torch.Tensor
    d_mean: torch.Tensor
    d_log_sigma: torch.Tensor


def through_posterior(
    product: torch.Tensor,
    highest: torch.Tensor,
    sparse_product: torch.Tensor,
    tokens: torch.Tensor,
    posterior: Posterior,
) -> PosteriorLosses:
    """Return losses and gradients from products with the decoder's matrix (W, b, 1).

    With E the exponentials of logits lowered by `highest`, s their row sums and n the tokens::

        recons = n (log s + highest) - (X (W, b)) . (theta, 1)
        d_theta = n / s (E W) - X W      d_h = theta (d_theta - theta . d_theta)
        kld = 1/2 sum (mean^2 + sigma^2 - 1 - 2 log_sigma)
        d_mean = d_h + mean              d_log_sigma = d_h sigma noise + sigma^2 - 1

    Args:
        product: E times the matrix, ``(documents, topics + 2)``; its last column is s.
        highest: What logits were lowered by, ``(documents,)``.
        sparse_product: The counts X times the matrix.
        tokens: Number of tokens of each document.
        posterior: What theta was sampled from.
    """
    mean, log_sigma, sigma, noise = (
        posterior.mean, posterior.log_sigma, posterior.sigma, posterior.noise
    )  # fmt: skip
    wide, topics = posterior.wide, mean.shape[1]
    total = product[:, topics + 1]
    recons = tokens * (total.log() + highest) - torch.linalg.vecdot(sparse_product, wide)
    scale = (tokens / total)[:, None]
    d_theta = scale * product[:, :topics] - sparse_product[:, :topics]
    theta, beyond = wide[:, :topics], sigma.square() - 1
    d_h = theta * (d_theta - torch.linalg.vecdot(theta, d_theta)[:, None])
    return PosteriorLosses(
        recons=recons,
        kld=torch.addcmul(beyond, mean, mean).sub_(log_sigma, alpha=2).sum(dim=1).mul_(0.5),
        scaled=scale * wide[:, : topics + 2],
        d_mean=d_h + mean,
        d_log_sigma=torch.addcmul(beyond, d_h * sigma, noise),
    )
