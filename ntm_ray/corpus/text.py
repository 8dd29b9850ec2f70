"""Raw texts to counts; the words are learnt from the training texts only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.corpus.corpus import Corpus
from ntm_ray.corpus.counts import split_off
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntm_ray.corpus.options import ReadOptions

# Three letters or more, of any script, with no digit or underscore next to them; the first part
# of "doesn't" and its like is no word, so that "doesn" does not become one.
WORD = r"\b[^\W\d_]{3,}\b(?!['\u2019]t\b)"


def count_words(
    train: Sequence[str], *others: Sequence[str], options: ReadOptions, source: str
) -> tuple[tuple[str, ...], list[Any]]:
    """Learns a vocabulary from the training texts and counts its words in all texts.

    Texts are lower-cased; a word is three letters or more. The vocabulary is in alphabetical
    order, and depends on nothing but `train` and `options`. Of `options.min_documents`, at most
    a hundredth of the training texts is asked for, so that a tiny corpus keeps its words.

    Args:
        train: the texts that the vocabulary is learnt from.
        others: texts of other partitions, counted against that vocabulary.
        options: which words to keep.
        source: named in an error.

    Returns:
        The words, and one sparse matrix (documents, vocabulary) for `train` and each of `others`.

    Raises:
        CorpusError: no word is left.
    """
    from sklearn.feature_extraction.text import CountVectorizer  # a second, only where needed

    least = max(1, min(options.min_documents, len(train) // 100))
    vectorizer = CountVectorizer(
        token_pattern=WORD,
        stop_words=None if options.stop_words == "none" else options.stop_words,
        min_df=least,
        # Of a tiny corpus one document is not too large a part.
        max_df=max(options.max_document_fraction, 1 / max(1, len(train))),
    )
    try:
        counts = vectorizer.fit_transform(train)
    except ValueError as error:
        raise CorpusError(
            f"{source}: no word of {len(train)} training document(s) is left with min_documents "
            f"{least}, max_document_fraction {options.max_document_fraction} and stop_words "
            f"{options.stop_words!r}; give more text or loosen these"
        ) from error
    # CountVectorizer's own max_features breaks ties by an unstable sort, that is, by processor.
    frequent = np.argsort(-np.asarray(counts.sum(axis=0)).ravel(), kind="stable")
    kept = np.sort(frequent[: options.max_words])
    words = vectorizer.get_feature_names_out()[kept]
    matrices = [counts, *(vectorizer.transform(texts) for texts in others)]
    return tuple(words.tolist()), [matrix[:, kept] for matrix in matrices]


def corpus_of_texts(
    train: Sequence[str],
    *,
    validation: Sequence[str] | None = None,
    test: Sequence[str] = (),
    options: ReadOptions,
    name: str,
    source: str,
) -> Corpus:
    """Makes a corpus of raw texts; blank ones are left out, and counted as such.

    Without `validation`, a part of the training texts is split off before the vocabulary is
    learnt, so that nothing of them leaks into it.

    Raises:
        CorpusError: no word is left, or too few texts to split.
    """
    written = [text for text in train if text.strip()]
    blank = len(train) - len(written)
    if validation is None:
        kept, drawn = split_off(
            len(written), options.validation_fraction, options.seed, f"{source}: train"
        )
        validation = [written[index] for index in drawn]
        written = [written[index] for index in kept]
    vocabulary, counts = count_words(written, validation, test, options=options, source=source)
    return Corpus.from_counts(
        counts[0],
        vocabulary,
        validation=counts[1],
        test=counts[2],
        name=name,
        source=source,
        left_out={"train": blank},
    )
