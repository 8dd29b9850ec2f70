"""Topic weights of a document that are better than the encoder's, for the topics to learn from.

One pass of an encoder says less about a document than the topics themselves do. From its sample on
there are rounds of expectation maximisation, with n_k the words that are expected to be of topic k
and a the concentrations of the prior::

    n_k = theta_k (-d_theta_k)      theta_k = (a_k + n_k) / sum_k (a_k + n_k)

After the last round weights are a sample again: of gamma distributions of the shape ``a_k + n_k``,
see :func:`ntm_ray.model.prior.gamma_as_weibull`. Topics that learn from a best guess would take
what is chance in short documents for certain. The encoder learns from its own sample, and losses
are its own.

Sources: Krishnan, Liang and Hoffman, "On the challenges of learning with inference networks on
sparse, high-dimensional data" (2018); Kim et al., "Semi-amortized variational autoencoders"
(2018).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.model.cpu.arithmetic import ZERO, inner
from ntm_ray.model.cpu.divergence import gamma_as_weibull
from ntm_ray.model.cpu.mixture import decode_document

if TYPE_CHECKING:
    from ntm_ray.model.cpu.arithmetic import Doubles, Floats
    from ntm_ray.model.cpu.layout import Documents
    from ntm_ray.model.cpu.mixture import Mixture


@inner
def learn_refined(
    batch: Documents, counts: Floats, topics: int, rounds: int, concentration: Doubles,
    noise: Floats, mixture: Mixture,
) -> None:  # fmt: skip
    """Refine the shares that a batch was decoded with, and make the decoder's gradient of them.

    Args:
        batch: The documents.
        counts: Their counts.
        topics: Number of topics.
        rounds: At least 1.
        concentration: The prior's, ``(topics,)``.
        noise: Logarithms of exponential variables, ``(documents, topics)``. A document takes that
            of the next: its own is in the sample that it starts from.
        mixture: As :func:`ntm_ray.model.cpu.mixture.decode` left it; takes the gradient.
    """
    documents = noise.shape[0]
    for d in range(documents):
        begin, end = batch.starts[d], batch.starts[d + 1]
        share, d_share = mixture.shares[d], mixture.d_shares[d]
        for done in range(rounds):
            if done:
                decode_document(
                    begin, end, batch.columns, counts, share, d_share, mixture.by_word,
                    mixture.gradient, True, False,
                )  # fmt: skip
            for k in range(topics):
                share[k] = share[k] * d_share[k] + np.float32(concentration[k])
            if done == rounds - 1:
                _sample(share, topics, noise[d + 1 if d + 1 < documents else 0])
            total = ZERO
            for k in range(topics):
                total += share[k]
            for k in range(topics):
                share[k] /= total * mixture.totals[k]
        decode_document(
            begin, end, batch.columns, counts, share, d_share, mixture.by_word, mixture.gradient,
            True, True,
        )  # fmt: skip


@inner
def _sample(shapes: Floats, topics: int, noise: Floats) -> None:
    """Put weights of gamma distributions, times what makes the largest 1, in place of shapes."""
    highest = np.float32(-np.inf)
    for k in range(topics):
        mean, sigma = gamma_as_weibull(np.float64(shapes[k]))
        h = np.float32(mean + sigma * noise[k])
        shapes[k] = h
        highest = h if h > highest else highest
    for k in range(topics):
        shapes[k] = np.float32(math.exp(shapes[k] - highest))
