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

The prior of a topic can follow the documents (empirical Bayes). Of all concentrations the one at
which the mean divergence is least has ``digamma(a_k) = E[h_k]``, where ``E[h_k] = mean_k - c
sigma_k`` over the documents. A running mean of it is kept, of which a batch makes up `NEW`.

A posterior that is refined is a gamma distribution of the shape ``a + n``, with n the words that a
document is expected to have of a topic. It is held as the Weibull distribution whose logarithm has
the same mean and variance, :func:`gamma_as_weibull`; at the shape 1 they are the same.

Sources: Minka, "Estimating a Dirichlet distribution" (2000), appendix C, for digamma's inverse;
Wallach, Mimno and McCallum, "Rethinking LDA: why priors matter" (2009), for what it is good for.
Zhang, Chen, Guo and Zhou, "WHAI: Weibull Hybrid Autoencoding Inference for Deep Topic
Modeling" (2018), equation 8.
"""

from __future__ import annotations

import math

import torch

EULER = 0.5772156649015329
"""Euler's constant: the mean of e is its negative."""

VARIANCE = math.pi**2 / 6
"""The variance of e."""

NEW = 0.01
"""The part of a running mean that is the newest batch's."""

LEAST, MOST = 0.01, 100.0
"""Bounds of a concentration."""

BRANCH, ROUNDS = -2.22, 5
"""Where Newton's method for digamma's inverse starts in another way, and its steps."""


def greatest_log_sigma(concentration: float) -> float:
    """Return what log sigma is held to with a Dirichlet prior of a concentration."""
    return math.log(2 + 1 / concentration)


def log_exponential(noise: torch.Tensor) -> torch.Tensor:
    """Return logarithms of standard exponential variables, from standard normal ones.

    The greater the one, the greater the other: ``log(-log(1 - Phi(noise)))``.
    """
    return torch.log(-torch.special.log_ndtr(-noise.double())).to(noise.dtype)


def concentrations(means: torch.Tensor) -> torch.Tensor:
    """Return the concentrations whose logarithms of weights have `means`, ``(topics,)``.

    They are in float64.
    """
    g = means.double()
    a = torch.where(g >= BRANCH, g.exp() + 0.5, -1 / (g.clamp(max=BRANCH) + EULER))
    for _ in range(ROUNDS):
        a = a - (torch.digamma(a) - g) / torch.special.polygamma(1, a)
    return a.clamp(LEAST, MOST)


def mean_of(concentration: float) -> float:
    """Return the mean that :func:`concentrations` makes `concentration` of."""
    return float(torch.digamma(torch.tensor(concentration, dtype=torch.float64)))


def gamma_as_weibull(shape: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and sigma of the posterior nearest to gamma distributions of the rate 1."""
    sigma = (torch.special.polygamma(1, shape) / VARIANCE).sqrt()
    return torch.digamma(shape) + EULER * sigma, sigma
