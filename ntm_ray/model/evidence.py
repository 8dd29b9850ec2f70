"""What the doctor judges a model by: figures of its topics, its corpus and its training."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOP_WORDS = 10
"""Of a topic: its most probable ones."""

COMMON_PART = 0.3
"""Of the documents: a top word of several topics that is in as many says nothing."""

RARE_DOCUMENTS = 5
"""A word in fewer documents is rare; readers of raw text leave such words out by default."""

_LATE = 4
"""The last of so many parts of the epochs are the late ones."""

_RENAMED = {
    "loss": "validation:total_loss",
    "train_loss": "train:total_loss",
    "unigram_loss": "validation:unigram_loss",
    "train_unigram_loss": "train:unigram_loss",
}
"""Figures that `metrics.json` has by names that are no Python names."""


@dataclass(frozen=True)
class Evidence:
    """Figures of one model; what is None is not known.

    All but the curve's and the settings are in the model's `metrics.json`, by the same names;
    `loss`, `train_loss` and the unigram's are `validation:total_loss` and so on there. Losses
    are in nats a word.

    Attributes:
        num_topics: Topics of the model.
        epochs: Epochs that its training had at most.
        decoder: How topics make a document: `product` or `mixture`.
        kl_weight: Weight of the KL divergence in training.
        kl_per_document: KL divergence, nats a document.
        topic_uniqueness: TU of ten top words.
        npmi: Mean NPMI of ten top words.
        live_topics: Topics that have half more than an equal share of some document.
        largest_topic: Number of the topic with the largest part of all documents, from 0.
        largest_topic_share: Its mean weight over documents.
        largest_topic_words: Its first top words.
        common_words: Top words of several topics that are in a large part of the documents.
        common_word_share: Part of all places among top words that these take.
        common_words_part: Part of the documents that such a word is in, mean over the places.
        rare_words: Some of the top words that are in very few documents.
        rare_word_share: Part of all places among top words that such words take.
        rare_vocabulary_share: Part of the vocabulary that is in so few documents.
        known_words: Words of the vocabulary that are in more.
        vocabulary_size: Words of the vocabulary.
        median_tokens: Median number of tokens of a training document.
        train_documents: Training documents.
        validation_documents: Validation documents.
        loss: Validation total_loss of the model.
        train_loss: Training loss of the same epoch.
        unigram_loss: The unigram model's loss of the validation documents.
        train_unigram_loss: And of the training documents.
        gain_error: Standard error, over validation documents, of how far the model's loss is
            below the unigram's.
        epoch: The model's epoch.
        epochs_trained: Epochs that were trained, the model's and those after it.
        recent_gain: How far the least loss fell over the last quarter of the epochs; 0 where the
            second half of that brought nothing.
        later_rise: How far the loss is above its least after the last epoch.
        later_train_fall: How far the training loss fell since that of the least loss.
        least_loss_epoch: The epoch of the least loss, which is the model's unless another
            objective has chosen it.
    """

    num_topics: int
    epochs: int
    decoder: str = "product"
    kl_weight: float = 1.0
    kl_per_document: float | None = None
    topic_uniqueness: float | None = None
    npmi: float | None = None
    live_topics: float | None = None
    largest_topic: float | None = None
    largest_topic_share: float | None = None
    largest_topic_words: tuple[str, ...] = ()
    common_words: tuple[str, ...] = ()
    common_word_share: float | None = None
    common_words_part: float | None = None
    rare_words: tuple[str, ...] = ()
    rare_word_share: float | None = None
    rare_vocabulary_share: float | None = None
    known_words: float | None = None
    vocabulary_size: float | None = None
    median_tokens: float | None = None
    train_documents: float | None = None
    validation_documents: float | None = None
    loss: float | None = None
    train_loss: float | None = None
    unigram_loss: float | None = None
    train_unigram_loss: float | None = None
    gain_error: float | None = None
    epoch: float | None = None
    epochs_trained: float | None = None
    recent_gain: float | None = None
    later_rise: float | None = None
    later_train_fall: float | None = None
    least_loss_epoch: float | None = None

    @classmethod
    def of(cls, metrics: Mapping[str, Any], hyperparameters: Mapping[str, Any]) -> Evidence:
        """Take a model's `metrics.json` and `hyperparameters.json`, as they are there.

        Whatever is missing, or is not what it should be, is not known.
        """
        told: dict[str, Any] = {}
        for field in fields(cls):
            value = metrics.get(_RENAMED.get(field.name, field.name))
            if field.name in _WORDS:
                told[field.name] = tuple(map(str, value)) if isinstance(value, list) else ()
            elif isinstance(value, int | float) and math.isfinite(value):
                told[field.name] = value
        settings = {name: hyperparameters[name] for name in _SETTINGS if name in hyperparameters}
        return cls(**{name: told[name] for name in told if name not in _SETTINGS}, **settings)

    def with_curve(self, rows: Sequence[Mapping[str, float | None]]) -> Evidence:
        """Return the same with what a training's whole curve tells.

        Args:
            rows: One an epoch, from the first, with the columns of `epochs.parquet`.
        """
        known: dict[str, Any] = dict(curve_figures(rows))
        return replace(self, **known)


_WORDS = ("largest_topic_words", "common_words", "rare_words")
_SETTINGS = ("num_topics", "epochs", "decoder", "kl_weight")


def curve_figures(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Return what the curve of a whole training tells: see :class:`Evidence`.

    Args:
        rows: One an epoch, from the first, with the columns of `epochs.parquet`. The loss is
            that of validation, or of training where there is none. A training that diverged is
            judged by the epochs before.
    """
    train: list[float] = []
    losses: list[float] = []
    for row in rows:
        of_train = row["train:total_loss"]
        loss = row.get("validation:total_loss", of_train)
        if of_train is None or loss is None or not math.isfinite(of_train + loss):
            break
        train.append(of_train)
        losses.append(loss)
    done = len(losses)
    if done == 0:
        return {}
    best = losses.index(min(losses))
    figures = {
        "epochs_trained": done,
        "least_loss_epoch": best + 1,
        "later_rise": losses[-1] - losses[best],
        "later_train_fall": train[best] - train[-1],
    }
    if done > 1:
        late = max(1, done // _LATE)
        newest = best >= done - max(1, late // 2)
        figures["recent_gain"] = min(losses[:-late]) - losses[best] if newest else 0.0
    return figures
