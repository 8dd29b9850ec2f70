"""How well one half of a document tells the other, where topics are mixed.

See :mod:`ntm_ray.model.completion`; rounds are those of :mod:`ntm_ray.model.inference`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.model.cpu.arithmetic import ZERO, compiled
from ntm_ray.model.cpu.mixture import decode_document

if TYPE_CHECKING:
    from ntm_ray.model.cpu.arithmetic import Doubles, Floats
    from ntm_ray.model.cpu.epoch import Counts


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
            if each or done == rounds:
                likelihoods[done] += decode_document(
                    judged.starts[d], judged.starts[d + 1], judged.columns, judged.values, share,
                    expected, topics, topics, False, False,
                )  # fmt: skip
            if done == rounds:
                break
            decode_document(
                seen.starts[d], seen.starts[d + 1], seen.columns, seen.values, share, expected,
                topics, topics, True, False,
            )  # fmt: skip
            total = ZERO
            for k in range(share.size):
                share[k] = share[k] * expected[k] + prior[k]
                total += share[k]
            for k in range(share.size):
                share[k] /= total
    return likelihoods
