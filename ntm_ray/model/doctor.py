"""What is wrong with a model, and what to change: nine diagnoses, by figures alone.

Where each threshold is from, and what it was tried on, is in ``docs/doctor.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ntm_ray.model.evidence import COMMON_PART, RARE_DOCUMENTS, TOP_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ntm_ray.model.evidence import Evidence

LEAST_KL_PER_DOCUMENT = 0.5
"""Nats. Below, the weights of topics hardly differ between documents."""

LEAST_TOPIC_UNIQUENESS = 0.4
"""Below, a top word is in two or three topics, or in more."""

DEAD_SHARE = 0.1
"""Of all topics: so many dead ones are worth a word."""

COMMON_WORD_SHARE = 0.05
"""Of all places among top words, that common words take: one in every second topic's ten."""

COMMON_IN_COLLAPSED = 0.5
"""Of the documents: part that common words are in for them to be named beside a collapse."""

RARE_WORD_SHARE = 0.1
"""Of all places among top words, that rare words take: one of each topic's ten."""

RARE_VOCABULARY_SHARE = 0.5
"""Of the vocabulary."""

LEAST_MEDIAN_TOKENS = 10
"""Tokens of a document. Below, a document says too little of its topics."""

LATE_GAIN = 0.015
"""Nats a word over the last quarter of the epochs."""

LEARNT_BY_HEART = 0.05
"""Nats a word that are gained on the training documents alone, or lost by going on."""

CARRIED_OVER = 0.5
"""Of what is gained on training documents over the unigram model."""

GREATEST_GAIN_ERROR = 0.02
"""Nats a word. Between like configurations the error is at most about half of it, 0.01: one in a
hundred of perplexity, a difference that matters."""

LEAST_VALIDATION_DOCUMENTS = 30
"""With fewer, their spread is not known either."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a model.

    Attributes:
        name: Which of the nine diagnoses it is.
        wrong: A sentence: what is wrong, with its figures.
        change: A sentence: what to change.
    """

    name: str
    wrong: str
    change: str

    @property
    def sentences(self) -> str:
        """Both, one after the other."""
        return f"{self.wrong} {self.change}"


def diagnose(evidence: Evidence) -> list[Finding]:
    """Return what is wrong with a model, what matters most first; none for a healthy one."""
    found = [look(evidence) for look in _DIAGNOSES.values()]
    return [finding for finding in found if finding is not None]


def not_judged(evidence: Evidence) -> list[str]:
    """Return the names of the diagnoses that the evidence says nothing about.

    Without validation documents, which is a finding of its own, overfitting is not among them.
    """
    names = [
        name
        for name, needed in _NEEDED.items()
        if any(getattr(evidence, figure) is None for figure in needed)
    ]
    return [name for name in names if name != "overfitted" or evidence.validation_documents != 0]


# In the order of what matters most: with a collapsed model nothing else does.


def _collapsed(e: Evidence) -> Finding | None:
    kl, uniqueness = e.kl_per_document, e.topic_uniqueness
    if kl is not None and kl < LEAST_KL_PER_DOCUMENT:
        wrong = (
            f"The posterior has collapsed: {kl:.3f} nats a document (below "
            f"{LEAST_KL_PER_DOCUMENT}) are too few for topic weights to differ between documents."
        )
    elif uniqueness is not None and uniqueness < _least_uniqueness(e):
        wrong = (
            f"The topics have collapsed: topic uniqueness {uniqueness:.2f} (below "
            f"{_least_uniqueness(e):.2g}) means that a top word is in some {1 / uniqueness:.1f} "
            "topics."
        )
    else:
        return None
    if e.decoder != "product" and kl is not None and kl >= LEAST_KL_PER_DOCUMENT:
        several = max(2, round(e.num_topics * (uniqueness or 0)))
        change = f"Ask for fewer topics (--num-topics {several}): so many differ."
    elif e.decoder == "product":
        change = (
            "A low loss does not make topics: search with ntm-ray tune --space coherent, whose "
            "topics are made to differ."
        )
    else:
        kl_weight = min(0.5, e.kl_weight / 2)
        change = (
            f"Give --set kl_weight={kl_weight:.2g} (now {e.kl_weight:.2g}), more --epochs, "
            f"smaller batches or fewer topics (--num-topics {_half(e.num_topics)})."
        )
    return Finding("collapsed", wrong, change)


def _least_uniqueness(e: Evidence) -> float:
    # With few topics it cannot be small: it is 1 / topics where all are the same. With few words
    # it cannot be large: it is at most words / places.
    least = max(LEAST_TOPIC_UNIQUENESS, min(0.75, 1.5 / e.num_topics))
    places = TOP_WORDS * e.num_topics
    return least * min(1.0, (e.vocabulary_size or places) / places)


def _dead_topics(e: Evidence) -> Finding | None:
    if e.live_topics is None or _collapsed(e) is not None:
        return None
    dead = e.num_topics - int(e.live_topics)
    verb, them = ("is", "it") if dead == 1 else ("are", "them")
    if dead < DEAD_SHARE * e.num_topics:
        return None
    return Finding(
        "dead_topics",
        f"{dead} of {e.num_topics} topics {verb} dead: no document has half more than an equal "
        f"share of {them}.",
        f"Ask for fewer (--num-topics {max(2, int(e.live_topics))}), or let more of them live "
        + (
            "with --space coherent."
            if e.decoder == "product"
            else f"with --set kl_weight={min(0.5, e.kl_weight / 2):.2g} (now {e.kl_weight:.2g})."
        ),
    )


def _one_topic(e: Evidence) -> Finding | None:
    share = e.largest_topic_share
    # Half of the way from an equal share to all.
    if share is None or share < (1 + 1 / e.num_topics) / 2:
        return None
    words = f" ({_listed(e.largest_topic_words)})" if e.largest_topic_words else ""
    return Finding(
        "one_topic",
        f"One topic has swallowed the others: topic {e.largest_topic or 0:.0f}{words} has "
        f"{share:.0%} of the documents' weight, an equal share being {1 / e.num_topics:.0%}.",
        f"Leave the words that all documents share out of the vocabulary (raw text: "
        f"--max-document-fraction {COMMON_PART}), or "
        + (
            "search with --space coherent."
            if e.decoder == "product"
            else "give --set decoder_start=clusters --set prior_concentration=0.5."
        ),
    )


def _stop_words(e: Evidence) -> Finding | None:
    if e.common_word_share is None or e.common_word_share < COMMON_WORD_SHARE:
        return None
    part = e.common_words_part or 0.0
    # The top words of topics that are all the same are frequent ones, whatever they say.
    if part < COMMON_IN_COLLAPSED and _collapsed(e) is not None:
        return None
    return Finding(
        "stop_words",
        f"Words that say nothing take {e.common_word_share:.0%} of the places among top words: "
        f"{_listed(e.common_words)} are top words of several topics, and in {part:.0%} of the "
        "documents on average.",
        f"Leave them out of the vocabulary (raw text: --max-document-fraction {COMMON_PART}).",
    )


def _rare_vocabulary(e: Evidence) -> Finding | None:
    few = f"fewer than {RARE_DOCUMENTS} documents"
    if e.rare_word_share is not None and e.rare_word_share >= RARE_WORD_SHARE:
        wrong = (
            f"The vocabulary is too rare: {e.rare_word_share:.0%} of the topics' top words are "
            f"in {few} ({_listed(e.rare_words)})."
        )
    elif e.rare_vocabulary_share is not None and e.rare_vocabulary_share > RARE_VOCABULARY_SHARE:
        wrong = (
            f"The vocabulary is too rare: {e.rare_vocabulary_share:.0%} of its "
            f"{e.vocabulary_size or 0:,.0f} words are in {few}."
        )
    else:
        return None
    fewer = f" (--max-words {e.known_words:.0f})" if e.known_words else ""
    return Finding(
        "rare_vocabulary",
        wrong,
        f"Keep fewer words{fewer}, or bring more documents.",
    )


def _short_documents(e: Evidence) -> Finding | None:
    if e.median_tokens is None or e.median_tokens >= LEAST_MEDIAN_TOKENS:
        return None
    return Finding(
        "short_documents",
        f"The documents are too short: half of them have at most {e.median_tokens:.0f} words of "
        f"the vocabulary (below {LEAST_MEDIAN_TOKENS}), too few to tell their topics.",
        "Make one document of what belongs together, as all messages of a thread, or ask for "
        f"fewer topics (--num-topics {_half(e.num_topics)}).",
    )


def _still_improving(e: Evidence) -> Finding | None:
    if e.recent_gain is None or e.epochs_trained is None or e.recent_gain < LATE_GAIN:
        return None
    late = max(1, int(e.epochs_trained) // 4)
    return Finding(
        "still_improving",
        f"The loss was still falling when training ended: by {e.recent_gain:.3f} nats a word "
        f"over the last {late} of {e.epochs_trained:.0f} epochs.",
        f"Train for longer (--epochs {2 * max(e.epochs, int(e.epochs_trained))}).",
    )


def _overfitted(e: Evidence) -> Finding | None:
    change = (
        "Bring more documents, or make the model smaller (--num-topics "
        f"{_half(e.num_topics)}, --set encoder_layers=auto) or hold it back (--set "
        "weight_decay=0.001)."
    )
    losses = (e.unigram_loss, e.loss, e.train_unigram_loss, e.train_loss)
    if None not in losses:
        unigram, loss, train_unigram, train = (figure or 0.0 for figure in losses)
        here, there = train_unigram - train, unigram - loss
        if here - there >= LEARNT_BY_HEART and there < CARRIED_OVER * here:
            wrong = (
                f"The model is overfitted: of the {here:.3f} nats a word that it gains on the "
                f"training documents over the unigram model, {max(0.0, there):.3f} are left on "
                "the validation documents."
            )
            return Finding("overfitted", wrong, change)
    rise, fall = e.later_rise, e.later_train_fall
    # Without validation documents a loss that rises is a training's that has come to grief.
    if e.loss is None or rise is None or fall is None or fall <= 0 or rise < LEARNT_BY_HEART:
        return None
    least, last = e.least_loss_epoch or 0, e.epochs_trained or 0
    wrong = (
        f"Training overfitted after epoch {least:.0f}: in the {last - least:.0f} epochs since, "
        f"the loss rose by {rise:.3f} nats a word on the validation documents and fell by "
        f"{fall:.3f} on the training documents."
    )
    return Finding("overfitted", wrong, change)


def _small_validation(e: Evidence) -> Finding | None:
    number, error = e.validation_documents, e.gain_error
    if number is None:
        return None
    if number == 0:
        return Finding(
            "small_validation",
            "There are no validation documents: all figures are of documents that the model was "
            "trained on.",
            "Have some split off (--validation-fraction 0.1), or bring them.",
        )
    if error is not None and error > GREATEST_GAIN_ERROR:
        needed = _rounded_up(number * (error / GREATEST_GAIN_ERROR) ** 2)
        wrong = (
            f"The validation set is too small to tell: by its {number:,.0f} documents the gain "
            f"over the unigram model is known to {error:.3f} nats a word (one standard error), "
            "so small differences between models may be chance."
        )
    elif number < LEAST_VALIDATION_DOCUMENTS:
        needed = 1000
        wrong = (
            f"The validation set is too small to tell: {number:.0f} documents (below "
            f"{LEAST_VALIDATION_DOCUMENTS}) do not even show how far they differ."
        )
    else:
        return None
    documents = number + (e.train_documents or 0)
    if needed <= documents / 2:
        fraction = -(-100 * needed // documents) / 100
        change = (
            f"Validate on some {needed:,.0f} (--validation-fraction {fraction:.2g}, or a "
            "validation partition of that size)."
        )
    else:
        change = f"Bring more documents, some {needed:,.0f} of them for validation."
    return Finding("small_validation", wrong, change)


_DIAGNOSES: dict[str, Callable[[Evidence], Finding | None]] = {
    "collapsed": _collapsed,
    "dead_topics": _dead_topics,
    "one_topic": _one_topic,
    "stop_words": _stop_words,
    "rare_vocabulary": _rare_vocabulary,
    "short_documents": _short_documents,
    "still_improving": _still_improving,
    "overfitted": _overfitted,
    "small_validation": _small_validation,
}
DIAGNOSES = tuple(_DIAGNOSES)
"""The names of all diagnoses, what matters most first."""

_NEEDED = {
    "collapsed": ("kl_per_document", "topic_uniqueness"),
    "dead_topics": ("live_topics",),
    "one_topic": ("largest_topic_share",),
    "stop_words": ("common_word_share",),
    "rare_vocabulary": ("rare_word_share",),
    "short_documents": ("median_tokens",),
    "still_improving": ("recent_gain",),
    "overfitted": ("unigram_loss", "train_unigram_loss", "later_rise"),
    "small_validation": ("validation_documents",),
}


def _half(topics: int) -> int:
    return max(2, topics // 2)


def _rounded_up(number: float) -> float:
    """Up to two digits: `2,683` becomes `2,700`."""
    unit = 10.0 ** max(0, len(str(int(number))) - 2)
    return -(-number // unit) * unit


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
