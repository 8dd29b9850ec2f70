"""Topic weights of documents from the encoder's on, on a CPU, where topics are mixed.

See :mod:`ntm_ray.model.inference`; only words that a document holds take time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.model.cpu.arithmetic import ZERO, compiled, inner
from ntm_ray.model.cpu.mixture import decode_document

if TYPE_CHECKING:
    from ntm_ray.model.cpu.arithmetic import Doubles, Floats
    from ntm_ray.model.cpu.epoch import Counts


@inner
def _improve(
    seen: Counts, d: int, share: Floats, expected: Floats, topics: Floats, prior: Floats
) -> None:
    """Take a document's weights through one round."""
    decode_document(
        seen.starts[d], seen.starts[d + 1], seen.columns, seen.values, share, expected, topics,
        topics, True, False,
    )  # fmt: skip
    total = ZERO
    for k in range(share.size):
        share[k] = share[k] * expected[k] + prior[k]
        total += share[k]
    for k in range(share.size):
        share[k] /= total


@compiled
def infer(seen: Counts, topics: Floats, weights: Floats, prior: Floats, rounds: int) -> None:
    """Put what rounds make of topic weights in their place.

    Args:
        seen: The documents.
        topics: Probabilities of words, ``(vocabulary, topics)``.
        weights: Those that rounds begin with, ``(documents, topics)``.
        prior: Concentrations, ``(topics,)``.
        rounds: Of expectation maximisation.
    """
    expected = np.empty_like(prior)
    for d in range(weights.shape[0]):
        for _ in range(rounds):
            _improve(seen, d, weights[d], expected, topics, prior)


@compiled
def completed(
    seen: Counts, judged: Counts, topics: Floats, weights: Floats, prior: Floats, rounds: int,
    each: bool,
) -> Doubles:  # fmt: skip
    """Return the log likelihood of the other halves of documents, ``(rounds + 1,)``.

    It is that after 0, 1, ... rounds; of less than `rounds` only if `each`, else 0.

    Args:
        seen: The halves that topic weights come from.
        judged: The others, of the same documents.
        topics: Probabilities of words, ``(vocabulary, topics)``.
        weights: Topic weights that rounds begin with, ``(documents, topics)``.
        prior: Concentrations, ``(topics,)``.
        rounds: Of expectation maximisation, at most.
        each: Whether all are asked for.
    """
    likelihoods = np.zeros(rounds + 1)
    share, expected = np.empty_like(prior), np.empty_like(prior)
    for d in range(weights.shape[0]):
        share[:] = weights[d]
        for done in range(rounds + 1):
            if done:
                _improve(seen, d, share, expected, topics, prior)
            if each or done == rounds:
                likelihoods[done] += decode_document(
                    judged.starts[d], judged.starts[d + 1], judged.columns, judged.values, share,
                    expected, topics, topics, False, False,
                )  # fmt: skip
    return likelihoods
