"""A term of the loss for topics that differ: the mean cosine of pairs of them.

Topics are mixed, so each is a distribution over words, beta_k; x_k is that at length 1. For a
batch of D documents of a corpus whose documents have T tokens on average, what is added is::

    weight T D / (K (K - 1)) sum_{k != l} x_k . x_l

so that a weight is nats a token, whatever the corpus. With s the sum of all x_k, the gradient by
the logits w_k of topic k is::

    2 weight T D / (K (K - 1)) x_kv (s_v - x_kv (x_k . s))

since the divisor of a softmax and the length cancel. Losses that are reported are without it.

Source: of the two terms of Ding, Nallapati and Xiang, "Coherence-Aware Neural Topic Modeling"
(2018), the one for diversity, on topics themselves in place of their embeddings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ntm_ray.model.hyperparameters import Hyperparameters


def pull_apart(hyperparameters: Hyperparameters, train: csr_matrix) -> float:
    """Return what is before x in the gradient, for each document of a batch; 0 without a term.

    Args:
        hyperparameters: The settings.
        train: The training documents, ``(documents, vocabulary)``.
    """
    weight, topics = hyperparameters.extensions.parts, hyperparameters.num_topics
    if weight == 0:
        return 0.0
    tokens = float(train.sum()) / train.shape[0]
    return 2 * weight * tokens / (topics * (topics - 1))
