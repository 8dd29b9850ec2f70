"""Raw texts to counts: which words, learnt from which texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ntm_ray.corpus import ReadOptions
from ntm_ray.corpus.text import corpus_of_texts, count_words
from ntm_ray.errors import CorpusError

PLAIN = ReadOptions(min_documents=1, max_document_fraction=1, stop_words="none")


def words_of(*texts: str, options: ReadOptions = PLAIN) -> tuple[str, ...]:
    return count_words(texts, options=options, source="x")[0]


def test_a_word_is_three_letters_or_more_of_any_script_in_lower_case() -> None:
    text = (
        "Über Straße ab x1yz snake_case 2nd END end. naïve доброе isn't doesn\u2019t rock'n'roll"
    )
    assert words_of(text) == ("end", "naïve", "rock", "roll", "straße", "über", "доброе")


def test_stop_words_are_left_out_only_if_asked() -> None:
    assert words_of("the cat and the hat", options=ReadOptions(max_document_fraction=1)) == (
        "cat",
        "hat",
    )
    assert words_of("the cat and the hat") == ("and", "cat", "hat", "the")


def test_the_most_frequent_words_are_kept_and_ties_go_by_the_alphabet() -> None:
    options = PLAIN.model_copy(update={"max_words": 3})
    texts = ["zoo zoo zoo ddd ccc bbb aaa", "zoo ddd ccc bbb"]
    assert words_of(*texts, options=options) == ("bbb", "ccc", "zoo")


def test_a_rare_and_a_very_common_word_are_left_out() -> None:
    texts = [
        f"common half{'' if n % 2 else ' odd'} {'rare' if n < 4 else 'often'}" for n in range(600)
    ]
    options = PLAIN.model_copy(update={"min_documents": 5, "max_document_fraction": 0.995})
    assert words_of(*texts, options=options) == ("odd", "often")


def test_min_documents_is_at_most_a_hundredth_of_the_documents() -> None:
    options = PLAIN.model_copy(update={"min_documents": 5})
    once = ["single filler", *["filler"] * 198]
    assert "single" in words_of(*once, options=options)
    assert "single" not in words_of(*once, "filler", options=options)  # 200 documents: twice


@given(st.lists(st.text(alphabet="abc é", max_size=12), max_size=6))
@settings(deadline=None)
def test_nothing_of_other_texts_leaks_into_the_vocabulary(others: list[str]) -> None:
    train = ["aaa bbb abc", "abc ccc"]
    alone, (counts,) = count_words(train, options=PLAIN, source="x")
    words, (same, other) = count_words(train, others, options=PLAIN, source="x")
    assert words == alone == ("aaa", "abc", "bbb", "ccc")
    assert (same.toarray() == counts.toarray()).all()
    assert other.shape == (len(others), 4)


def test_a_validation_split_is_drawn_before_the_vocabulary_is_learnt() -> None:
    names = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    texts = [f"shared only{name}" for name in names]
    corpus = corpus_of_texts(
        texts,
        options=PLAIN.model_copy(update={"validation_fraction": 0.3}),
        name="x",
        source="x",
    )
    assert corpus.documents == {"train": 7, "validation": 3, "test": 0}
    assert corpus.feature_dim == 8  # "shared" and one word a training document
    assert corpus.validation.sum() == 3  # of validation documents, only "shared" is known


def test_blank_texts_are_left_out_before_the_split_and_counted() -> None:
    texts = ["", "  \t", *["words enough"] * 10]
    corpus = corpus_of_texts(texts, test=["unknown"], options=PLAIN, name="x", source="x")
    assert corpus.documents == {"train": 9, "validation": 1, "test": 0}
    assert corpus.left_out == {"train": 2, "validation": 0, "test": 1}


@pytest.mark.parametrize(
    "texts", [[], ["12 34", "_"], ["the and", "of the"]], ids=["none", "no words", "stop words"]
)
def test_texts_without_words_are_refused_in_one_line(texts: list[str]) -> None:
    message = (
        rf"^a\.txt: no word of {len(texts)} training document\(s\) is left with "
        r"min_documents 1, max_document_fraction 0\.5 and stop_words 'english'; give more text"
    )
    with pytest.raises(CorpusError, match=message):
        count_words(texts, options=ReadOptions(), source="a.txt")


def test_too_few_texts_to_split_are_refused_with_the_source() -> None:
    with pytest.raises(CorpusError, match=r"^a\.txt: train: 1 document\(s\) .* too few to split"):
        corpus_of_texts(["one text"], options=PLAIN, name="a", source="a.txt")


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_words": 0},
        {"min_documents": 0},
        {"max_document_fraction": 0},
        {"max_document_fraction": 1.1},
        {"stop_words": "french"},
        {"validation_fraction": 1},
        {"seed": -1},
        {"maxwords": 5},
    ],
)
def test_an_option_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ReadOptions.model_validate(wrong)
