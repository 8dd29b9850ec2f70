"""The figures that the doctor needs of a model and its corpus, worked out when it is made.

What depends on the corpus alone is worked out once for each corpus that a process has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from ntm_ray.model.evaluation import document_losses
from ntm_ray.model.evidence import COMMON_PART, RARE_DOCUMENTS, TOP_WORDS, curve_figures
from ntm_ray.model.topics import top_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ntm_ray.corpus import Corpus
    from ntm_ray.corpus.counts import Counts
    from ntm_ray.model.network import Network
    from ntm_ray.model.training import Training

_SEVERAL_TOPICS = 0.2
"""Of all topics, and at least two."""

_LEAST_VOCABULARY = 100
"""With fewer words, the ten top words of a topic are no choice that says anything."""

_SHOWN_WORDS = 5

_MOST_DOCUMENTS = 1 << 18
_BLOCK = 1 << 12
_MOST_JUDGED = 128


@dataclass(frozen=True)
class CorpusFigures:
    """What the doctor needs of a corpus.

    Of a larger corpus than 262,144 training documents it is worked out over so many of them.

    Attributes:
        documents: Training documents that were looked at.
        document_frequencies: How many of them each word is in, ``(vocabulary,)``.
        log_unigram: Logarithm of each word's part of their tokens, smoothed by one,
            ``(vocabulary,)``: the unigram model of ``ntm_ray.corpus.unigram_loss``.
        median_tokens: Median number of tokens of a training document.
        train_loss: The unigram model's loss of them, nats a word.
        validation_loss: And of the validation documents; None without any.
    """

    documents: int
    document_frequencies: NDArray[np.int64]
    log_unigram: NDArray[np.float64]
    median_tokens: float
    train_loss: float
    validation_loss: float | None


_KNOWN: WeakKeyDictionary[Corpus, CorpusFigures] = WeakKeyDictionary()


def corpus_figures(corpus: Corpus) -> CorpusFigures:
    """Return a corpus's figures; worked out on the first call."""
    found = _KNOWN.get(corpus)
    if found is None:
        found = _KNOWN[corpus] = _worked_out(corpus)
    return found


def _worked_out(corpus: Corpus) -> CorpusFigures:
    words = corpus.feature_dim
    frequencies = np.zeros(words, dtype=np.int64)
    totals = np.zeros(words)
    parts = np.zeros(words)
    lengths = []
    for block in _blocks(corpus.train):
        tokens = _tokens(block)
        lengths.append(tokens)
        frequencies += np.bincount(block.indices, minlength=words)
        totals += np.bincount(block.indices, weights=block.data, minlength=words)
        each = block.data / np.repeat(tokens, np.diff(block.indptr))
        parts += np.bincount(block.indices, weights=each, minlength=words)
    tokens = np.concatenate(lengths)
    log_unigram = np.log((totals + 1) / (totals.sum() + words))
    validation = corpus.validation
    return CorpusFigures(
        documents=len(tokens),
        document_frequencies=frequencies,
        log_unigram=log_unigram,
        median_tokens=float(np.median(tokens)),
        train_loss=float(-(parts @ log_unigram) / len(tokens)),
        validation_loss=float(_unigram_losses(validation, log_unigram).mean())
        if validation.shape[0]
        else None,
    )


def _blocks(counts: Counts) -> Iterator[Counts]:
    """Yield all documents, or blocks of them from all over, some thousands at a time."""
    starts = np.arange(0, counts.shape[0], _BLOCK)
    most = _MOST_DOCUMENTS // _BLOCK
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(np.int64)]
    for start in starts.tolist():
        yield counts[start : start + _BLOCK]


def _tokens(counts: Counts) -> NDArray[np.float64]:
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def _unigram_losses(counts: Counts, log_unigram: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unigram model's loss of each document, nats a word, ``(documents,)``."""
    return -np.asarray(counts @ log_unigram) / _tokens(counts)


def examined(
    training: Training,
    network: Network,
    topic_weights: NDArray[np.float32],
) -> dict[str, Any]:
    """Return the figures of a model, beside its measures, by the names of `Evidence`.

    Args:
        training: The training whose best epoch the model is.
        network: The model.
        topic_weights: The encoder's, of the validation (else training) documents,
            ``(documents, topics)``.
    """
    corpus = training.corpus
    figures = corpus_figures(corpus)
    top_words = top_numbers(training.best_tensors["projection_weight"].numpy(), TOP_WORDS)
    found: dict[str, Any] = {
        "train_documents": corpus.train.shape[0],
        "validation_documents": corpus.validation.shape[0],
        "vocabulary_size": corpus.feature_dim,
        "median_tokens": figures.median_tokens,
        "train:unigram_loss": figures.train_loss,
    }
    if figures.validation_loss is not None:
        found["validation:unigram_loss"] = figures.validation_loss
        found["gain_error"] = _gain_error(network, corpus.validation, figures.log_unigram)
    found |= _of_weights(topic_weights, top_words, corpus.vocabulary)
    found |= _of_words(top_words, figures, corpus.vocabulary)
    if training.finished:
        found |= curve_figures([record.metrics() for record in training.history])
    return found


def _gain_error(network: Network, counts: Counts, log_unigram: NDArray[np.float64]) -> float:
    """The standard error of the gain over the unigram model: by its spread over some documents.

    Most of what makes documents' losses differ is in both models' and drops out, as it does
    where two configurations are compared on the same documents.
    """
    documents = counts.shape[0]
    some = np.linspace(0, documents - 1, min(documents, _MOST_JUDGED)).round().astype(np.int64)
    judged = counts[some]
    gains = _unigram_losses(judged, log_unigram) - document_losses(network, judged)
    return float(gains.std() / np.sqrt(documents))


def _of_weights(
    weights: NDArray[np.float32], top_words: NDArray[np.int64], vocabulary: tuple[str, ...]
) -> dict[str, Any]:
    shares = weights.mean(axis=0)
    largest = int(shares.argmax())
    first = top_words[largest, :_SHOWN_WORDS]
    return {
        "largest_topic": largest,
        "largest_topic_share": float(shares[largest]),
        "largest_topic_words": [vocabulary[word] for word in first],
    }


def _of_words(
    top_words: NDArray[np.int64], figures: CorpusFigures, vocabulary: tuple[str, ...]
) -> dict[str, Any]:
    in_documents = figures.document_frequencies
    rare = in_documents < RARE_DOCUMENTS
    found: dict[str, Any] = {
        "rare_vocabulary_share": float(rare.mean()),
        "known_words": int((~rare).sum()),
        "common_word_share": 0.0,
        "rare_word_share": 0.0,
    }
    if len(vocabulary) < _LEAST_VOCABULARY:
        return found
    places = np.bincount(top_words.ravel(), minlength=len(vocabulary))
    rare_places = np.where(rare, places, 0)
    found["rare_word_share"] = float(rare_places.sum() / top_words.size)
    found["rare_words"] = _most(rare_places, vocabulary)
    several = max(2.0, _SEVERAL_TOPICS * len(top_words))
    common = (in_documents >= COMMON_PART * figures.documents) & (places >= several)
    if common.any():
        common_places = np.where(common, places, 0)
        found["common_word_share"] = float(common_places.sum() / top_words.size)
        found["common_words"] = _most(common_places, vocabulary)
        parts = in_documents / figures.documents
        found["common_words_part"] = float((common_places * parts).sum() / common_places.sum())
    return found


def _most(places: NDArray[np.int64], vocabulary: tuple[str, ...]) -> list[str]:
    """The words with the most places, most first."""
    order = np.argsort(-places, kind="stable")[:_SHOWN_WORDS]
    return [vocabulary[word] for word in order if places[word]]
