"""A Dirichlet prior of topic weights, and a posterior of Weibull distributions.

The posterior is of weights before they are made to sum to 1: ``exp(h_k)`` has a Weibull
distribution of the scale ``exp(mean_k)`` and the shape ``1 / sigma_k``. So ``h_k = mean_k +
sigma_k e``, as with a normal posterior, where e is the logarithm of a standard exponential
variable. Its prior is a gamma distribution of the shape a and the rate 1; made to sum to 1, such
weights have a Dirichlet distribution of the concentration a. With Euler's constant c::

    kld = sum_k (c a sigma - a mean - log_sigma + exp(mean) Gamma(1 + sigma)
                 - c - 1 + log Gamma(a))

Unlike a normal distribution before a softmax, it gives most topics of a document next to nothing.
Sigma is held to ``2 + 1 / a``, well above that of the prior: without a bound, one document unlike
all others has a divergence beyond all numbers.

Source: Zhang, Chen, Guo and Zhou, "WHAI: Weibull Hybrid Autoencoding Inference for Deep Topic
Modeling" (2018), equation 8.
"""

from __future__ import annotations

import math

import torch

EULER = 0.5772156649015329
"""Euler's constant: the mean of e is its negative."""


def greatest_log_sigma(concentration: float) -> float:
    """Return what log sigma is held to with a Dirichlet prior of a concentration."""
    return math.log(2 + 1 / concentration)


def log_exponential(noise: torch.Tensor) -> torch.Tensor:
    """Return logarithms of standard exponential variables, from standard normal ones.

    The greater the one, the greater the other: ``log(-log(1 - Phi(noise)))``.
    """
    return torch.log(-torch.special.log_ndtr(-noise.double())).to(noise.dtype)
