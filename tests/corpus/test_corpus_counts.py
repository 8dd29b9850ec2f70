"""Corpus.from_counts: what it takes, what it refuses, how it splits, what identifies a corpus."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import coo_matrix, csc_array, csr_array, csr_matrix

from ntm_ray.corpus import Corpus, bars, unigram_loss
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNTS = np.array([[2, 0, 1], [0, 0, 0], [0, 3, 0], [1, 1, 1]])
WORDS = ("a", "b", "c")

some_counts = arrays(
    np.int64, st.tuples(st.integers(2, 8), st.just(3)), elements=st.integers(0, 3)
).filter(lambda counts: (counts.sum(axis=1) > 0).sum() >= 2)


@pytest.mark.parametrize("form", [np.asarray, csr_matrix, csr_array, csc_array, coo_matrix])
def test_any_array_gives_the_same_corpus(form: Any) -> None:
    corpus = Corpus.from_counts(form(COUNTS), WORDS, validation_fraction=0)
    assert corpus.train.toarray().tolist() == [[2, 0, 1], [0, 3, 0], [1, 1, 1]]
    assert isinstance(corpus.train, csr_matrix)
    assert (
        corpus.fingerprint == Corpus.from_counts(COUNTS, WORDS, validation_fraction=0).fingerprint
    )


def test_counts_become_canonical_and_the_input_is_not_changed() -> None:
    messy = csr_matrix(
        (np.array([1.0, 2.0, 3.0, 0.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4])), shape=(2, 3)
    )
    before = [array.copy() for array in (messy.data, messy.indices, messy.indptr)]
    corpus = Corpus.from_counts(messy, WORDS, validation_fraction=0)
    train = corpus.train
    assert (train.indices.tolist(), train.data.tolist()) == ([0, 2], [2.0, 4.0])
    assert train.data.dtype == np.float32
    assert train.indices.dtype == train.indptr.dtype == np.int32
    assert corpus.left_out["train"] == 1
    for array, old in zip((messy.data, messy.indices, messy.indptr), before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize(
    ("train", "vocabulary", "message"),
    [
        (COUNTS, ("a", "b"), r"^train: counts have 3 columns, but the vocabulary has 2 words"),
        (COUNTS[0], WORDS, r"^train: counts have 1 dimension\(s\), not 2: \(documents, vocab"),
        ([[1, -2, 0]], WORDS, r"^train: document 0, word 1: count -2 is not a finite, non-neg"),
        ([[1, 0, 0], [0, 0, np.nan]], WORDS, r"^train: document 1, word 2: count nan"),
        ([[np.inf, 0, 0]], WORDS, r"^train: document 0, word 0: count inf"),
        ([[1e60, 0, 0]], WORDS, r"^train: document 0, word 0: count 1e\+60"),
        ([["x", "y", "z"]], WORDS, r"^train: counts of type <U1 are not numbers"),
        (COUNTS, ("a", "b", "a"), r"^vocabulary, word 3: 'a' is word 1 already; each word must"),
        (COUNTS, ("a", "", "c"), r"^vocabulary, word 2: '' is no word; a word is text"),
        (COUNTS, ("a", "b\nc", "c"), r"^vocabulary, word 2: 'b\\nc' is no word"),
        (COUNTS, ("a", "b", 3), r"^vocabulary, word 3: 3 is no word"),
        (np.zeros((2, 3)), WORDS, r"^train: none of 2 document\(s\) holds a word .* at least one"),
        ([[1, 0, 0]], WORDS, r"^train: 1 document\(s\) with a word are too few to split off 1"),
    ],
)
def test_a_wrong_input_is_refused_in_one_line(train: Any, vocabulary: Any, message: str) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        Corpus.from_counts(train, vocabulary)
    assert "\n" not in str(caught.value)


def test_an_error_names_partition_and_source() -> None:
    with pytest.raises(CorpusError, match=r"^x\.npz: test: counts have 2 columns"):
        Corpus.from_counts(COUNTS, WORDS, test=COUNTS[:, :2], source="x.npz")


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(CorpusError, match=r"validation_fraction .* is not in \[0, 1\)"):
        Corpus.from_counts(COUNTS, WORDS, validation_fraction=fraction)


@given(some_counts, st.floats(0, 0.5), st.integers(0, 5))
def test_a_split_loses_and_invents_no_document(
    counts: NDArray[np.int64], fraction: float, seed: int
) -> None:
    corpus = Corpus.from_counts(counts, WORDS, validation_fraction=fraction, seed=seed)
    parts = corpus.train.toarray().tolist() + corpus.validation.toarray().tolist()
    assert sorted(parts) == sorted(row for row in counts.tolist() if any(row))
    kept = corpus.documents["train"] + corpus.documents["validation"]
    expected = max(1, round(fraction * kept)) if fraction else 0
    assert corpus.documents["validation"] == expected
    assert corpus.left_out["train"] == len(counts) - kept
    again = Corpus.from_counts(counts, WORDS, validation_fraction=fraction, seed=seed)
    assert again.fingerprint == corpus.fingerprint


def test_another_seed_splits_off_other_documents() -> None:
    counts = np.diag(np.arange(1, 41))
    words = [f"w{column}" for column in range(40)]
    drawn = {
        tuple(Corpus.from_counts(counts, words, seed=seed).validation.data) for seed in range(5)
    }
    assert len(drawn) == 5


def test_given_partitions_are_kept_and_their_empty_documents_counted() -> None:
    corpus = Corpus.from_counts(
        COUNTS, WORDS, validation=COUNTS[:2], test=np.zeros((3, 3)), left_out={"train": 4}
    )
    assert corpus.documents == {"train": 3, "validation": 1, "test": 0}
    assert corpus.left_out == {"train": 5, "validation": 1, "test": 3}
    assert corpus.tokens == {"train": 9, "validation": 3, "test": 0}
    assert corpus.validation.toarray().tolist() == [[2, 0, 1]]


@given(some_counts)
def test_the_fingerprint_does_not_depend_on_how_counts_are_stored(
    counts: NDArray[np.int64],
) -> None:
    corpus = Corpus.from_counts(counts, WORDS, name="one")
    wide = csr_matrix(counts)
    wide.indices = wide.indices.astype(np.int64)
    wide.indptr = wide.indptr.astype(np.int64)
    other = Corpus.from_counts(wide, list(WORDS), name="two", source="elsewhere")
    assert other.fingerprint == corpus.fingerprint
    foreign = replace(corpus, train=corpus.train.copy())
    foreign.train.data = foreign.train.data.astype(">f4")
    foreign.train.indices = foreign.train.indices.astype(">i8")
    assert foreign.fingerprint == corpus.fingerprint


@given(some_counts, st.data())
def test_the_fingerprint_changes_with_any_count_word_or_partition(
    counts: NDArray[np.int64], data: st.DataObject
) -> None:
    def fingerprint(train: Any, words: Any = WORDS, **partitions: Any) -> str:
        return Corpus.from_counts(train, words, validation_fraction=0, **partitions).fingerprint

    row = data.draw(st.integers(0, len(counts) - 1))
    column = data.draw(st.integers(0, 2))
    changed = counts.copy()
    changed[row, column] += 1
    assert fingerprint(changed) != fingerprint(counts)
    assert fingerprint(counts, ("a", "b", "d")) != fingerprint(counts)
    assert fingerprint(counts, ("a", "bc", "d")) != fingerprint(counts, ("ab", "c", "d"))
    assert fingerprint(counts, test=counts) != fingerprint(counts, validation=counts)


def test_the_fingerprint_is_the_same_in_another_process() -> None:
    code = "from ntm_ray.corpus import bars; print(bars(20).fingerprint)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == bars(20).fingerprint


def test_a_pickled_corpus_comes_back_read_only_and_works() -> None:
    corpus = bars(50)
    buffers: list[pickle.PickleBuffer] = []
    frame = pickle.dumps(corpus, protocol=5, buffer_callback=buffers.append)
    assert len(frame) < 4000  # the arrays are not in it
    back = pickle.loads(frame, buffers=[bytes(buffer.raw()) for buffer in buffers])
    assert not back.train.data.flags.writeable
    assert back.fingerprint == corpus.fingerprint
    assert back.describe() == corpus.describe()
    assert unigram_loss(back.train, back.validation) > 0
    again = Corpus.from_counts(back.train, back.vocabulary, validation=back.validation)
    assert again.fingerprint == corpus.fingerprint


def test_the_description_is_plain_json_and_the_repr_is_short() -> None:
    corpus = Corpus.from_counts(COUNTS, WORDS, test=COUNTS, name="tiny")
    description = corpus.describe()
    assert json.loads(json.dumps(description)) == description
    assert description["documents"] == {"train": 2, "validation": 1, "test": 3}
    assert description["vocabulary"] == 3
    assert re.fullmatch("[0-9a-f]{64}", description["fingerprint"])
    assert repr(corpus) == "Corpus('tiny', 2/1/3 documents, 3 words)"
