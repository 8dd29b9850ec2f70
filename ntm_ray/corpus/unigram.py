"""The loss of a model that knows no topics: the first thing that a topic model has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from ntm_ray.corpus.counts import Counts


def unigram_loss(train: Counts, documents: Counts) -> float:
    """Mean over `documents` of the nats a word under the word frequencies of `train`.

    With counts x, c_w the count of word w in `train` and V words in the vocabulary, the
    frequencies are smoothed by one (Laplace): p_w = (c_w + 1) / (sum c + V). The loss is
    mean_d( -1/n_d * sum_w x_dw log p_w ), n_d the words of document d: the same mean of ratios
    as the NTM's total loss.

    Args:
        train: (documents, vocabulary) counts that the frequencies are taken from.
        documents: (documents, vocabulary) counts to judge, each with at least one word.

    Raises:
        CorpusError: there is no document, or one without a word.
    """
    frequencies = np.asarray(train.sum(axis=0, dtype=np.float64)).ravel() + 1
    log_p = np.log(frequencies / frequencies.sum())
    lengths = np.asarray(documents.sum(axis=1, dtype=np.float64)).ravel()
    if not lengths.all() or not lengths.size:
        raise CorpusError("unigram loss: needs at least one document, and a word in each")
    return float(np.mean(-(documents @ log_p) / lengths))
