"""KL divergences of a document's posterior from its prior, on a CPU, and their gradients.

The formulas are those of :mod:`ntm_ray.model.prior`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.model.cpu.arithmetic import ONE, inner
from ntm_ray.model.prior import BRANCH, EULER, LEAST, MOST, ROUNDS, VARIANCE

if TYPE_CHECKING:
    from typing import Any

    from ntm_ray.model.cpu.arithmetic import Doubles, Floats

_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


@inner
def log_gamma(x: float) -> Any:
    """Return log Gamma and its derivative at x of at least 1, by Stirling's series at x + 6."""
    product, inverses = 1.0, 0.0
    for i in range(6):
        product *= x + i
        inverses += 1.0 / (x + i)
    y = x + 6.0
    r = 1.0 / (y * y)
    log_y = math.log(y)
    series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r / 1680.0))) / y
    value = (y - 0.5) * log_y - y + _HALF_LOG_2_PI + series - math.log(product)
    tail = r * (1.0 / 12.0 - r * (1.0 / 120.0 - r * (1.0 / 252.0 - r / 240.0)))
    return value, log_y - 0.5 / y - tail - inverses


@inner
def trigamma(x: float) -> Any:
    """Return the second derivative of log Gamma at x above 0, by its series at x + 6."""
    squares = 0.0
    for i in range(6):
        squares += 1.0 / ((x + i) * (x + i))
    y = x + 6.0
    r = 1.0 / (y * y)
    tail = r / y * (1.0 / 6.0 - r * (1.0 / 30.0 - r * (1.0 / 42.0 - r / 30.0)))
    return squares + 1.0 / y + 0.5 * r + tail


@inner
def gamma_as_weibull(shape: float) -> Any:
    """Return mean and sigma of the Weibull posterior nearest to a gamma distribution of rate 1.

    See :func:`ntm_ray.model.prior.gamma_as_weibull`.
    """
    _, slope = log_gamma(1.0 + shape)
    sigma = math.sqrt(trigamma(shape) / VARIANCE)
    return slope - 1.0 / shape + EULER * sigma, sigma


@inner
def concentrations(means: Floats, out: Doubles) -> None:
    """Set `out` to the concentrations whose logarithms of weights have `means`, ``(topics,)``."""
    for k in range(out.size):
        g = np.float64(means[k])
        a = math.exp(g) + 0.5 if g >= BRANCH else -1.0 / (g + EULER)
        for _ in range(ROUNDS):
            _, slope = log_gamma(1.0 + a)
            a -= (slope - 1.0 / a - g) / trigamma(a)
        # Not a minimum and a maximum, which would make a number of NaN.
        out[k] = LEAST if a < LEAST else (MOST if a > MOST else a)


@inner
def weibull_divergence(
    mean: Floats, log_sigma: Floats, sigma: Floats, topics: int, concentration: Doubles,
    pull_mean: Floats, pull_sigma: Floats, log_weights: Doubles,
) -> float:  # fmt: skip
    """Return the KL divergence of one document, and leave its gradients behind.

    The means of logarithms of weights are added to `log_weights`.
    """
    kld = 0.0
    for k in range(topics):
        m, s, a = np.float64(mean[k]), np.float64(sigma[k]), concentration[k]
        of_mean, slope = log_gamma(1.0 + s)
        expected = math.exp(m + of_mean)
        log_weight = m - EULER * s
        kld += expected - a * log_weight - log_sigma[k] + (math.lgamma(a) - EULER - 1.0)
        pull_mean[k] = np.float32(expected - a)
        pull_sigma[k] = np.float32(EULER * a * s - 1.0 + expected * slope * s)
        log_weights[k] += log_weight
    return kld


@inner
def normal_divergence(
    mean: Floats, log_sigma: Floats, sigma: Floats, topics: int, pull_mean: Floats,
    pull_sigma: Floats,
) -> float:  # fmt: skip
    """Do what :func:`weibull_divergence` does, for a normal posterior and prior."""
    kld = 0.0
    for k in range(topics):
        square = sigma[k] * sigma[k]
        kld += 0.5 * (mean[k] * mean[k] + square - ONE) - log_sigma[k]
        pull_mean[k] = mean[k]
        pull_sigma[k] = square - ONE
    return kld
