"""Sources: files, folders, URIs and names, and what is said of those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix, save_npz

from ntm_ray.corpus import CORPORA, FORMATS, Corpus, ReadOptions, read_corpus
from ntm_ray.errors import CorpusError

OPTIONS = ReadOptions(min_documents=1, max_document_fraction=1, stop_words="none")
TEXTS = ["red green", "green blue", "blue red", "red red green"]
COUNTS = csr_matrix(np.array([[1, 0, 2], [0, 1, 0], [3, 0, 0], [0, 0, 0]]))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_a_text_file_holds_one_document_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "notes.txt", "\ufeff" + "\r\n".join([*TEXTS, "", " "]) + "\n")
    corpus = read_corpus(path, OPTIONS)
    assert corpus.documents == {"train": 3, "validation": 1, "test": 0}
    assert corpus.left_out["train"] == 2
    assert corpus.vocabulary == ("blue", "green", "red")
    assert (corpus.name, corpus.source) == ("notes", str(path))


def test_a_text_folder_holds_one_document_a_file_without_hidden_ones(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    for number, text in enumerate(TEXTS):
        write(folder / f"part{number % 2}" / f"{number}.txt", text)
    write(folder / ".hidden.txt", "hidden")
    write(folder / ".git" / "a.txt", "hidden")
    write(folder / "notes.md", "other")
    corpus = read_corpus(folder, OPTIONS.model_copy(update={"validation_fraction": 0}))
    assert corpus.vocabulary == ("blue", "green", "red")
    in_path_order = [[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 1, 2]]
    assert corpus.train.toarray().tolist() == in_path_order
    assert corpus.name == "texts"


TSV = "a b b\ttrain\t3\nb zzz\tval\nc c\ttest\tlabel\nunknown\tvalid\n\n B\ttrain\n"


def test_a_tsv_with_a_vocabulary_is_counted_exactly_against_it(tmp_path: Path) -> None:
    write(tmp_path / "corpus.tsv", "\ufeff" + TSV)
    write(tmp_path / "vocabulary.txt", "\ufeffb\na\nc\n")
    corpus = read_corpus(tmp_path)
    assert corpus.vocabulary == ("b", "a", "c")
    assert corpus.train.toarray().tolist() == [[2, 1, 0]]  # "B" is not "b"
    assert corpus.validation.toarray().tolist() == [[1, 0, 0]]
    assert corpus.test.toarray().tolist() == [[0, 0, 2]]
    assert corpus.left_out == {"train": 1, "validation": 1, "test": 0}
    assert (corpus.name, corpus.source) == (tmp_path.name, str(tmp_path))
    assert read_corpus(tmp_path / "corpus.tsv").fingerprint == corpus.fingerprint


def test_a_tsv_without_a_vocabulary_learns_it_from_the_training_texts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "any.tsv", "Red green\ttrain\nblue red\tvalidation\nblack red red\ttest\n"
    )
    corpus = read_corpus(path, OPTIONS)
    assert corpus.vocabulary == ("green", "red")
    assert corpus.test.toarray().tolist() == [[0, 2]]


@pytest.mark.parametrize("vocabulary", [True, False])
def test_a_tsv_without_validation_is_split(tmp_path: Path, vocabulary: bool) -> None:
    path = write(tmp_path / "x.tsv", "".join(f"{text}\ttrain\n" for text in TEXTS))
    if vocabulary:
        write(tmp_path / "vocab.txt", "red\r\ngreen\r\nblue\r\n")
    corpus = read_corpus(path, OPTIONS.model_copy(update={"validation_fraction": 0.5}))
    assert corpus.documents == {"train": 2, "validation": 2, "test": 0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\ttrain\nno tab\n", r"corpus\.tsv, line 2: no TAB; a line is a text, TAB and its part"),
        (
            "a\ttrain\n\nb\tdev\n",
            r"line 3: unknown partition 'dev'; one of train, validation, val",
        ),
        ("a\ttest\n", r": train: none of 0 document\(s\) holds a word"),
    ],
)
def test_a_wrong_tsv_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    write(tmp_path / "corpus.tsv", content)
    write(tmp_path / "vocabulary.txt", "a\n")
    with pytest.raises(CorpusError, match=message) as caught:
        read_corpus(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\n\nb\n", r"vocabulary\.txt, line 2: '' is no word"),
        ("a\nb\na\n", r"vocabulary\.txt, line 3: 'a' is word 1 already"),
        ("", r"vocabulary\.txt: empty; one word a line is wanted"),
    ],
)
def test_a_wrong_vocabulary_is_refused_with_its_line(
    tmp_path: Path, content: str, message: str
) -> None:
    write(tmp_path / "corpus.tsv", TSV)
    write(tmp_path / "vocabulary.txt", content)
    with pytest.raises(CorpusError, match=message):
        read_corpus(tmp_path)


@pytest.mark.parametrize("name", ["lines.txt", "folder/one.txt", "corpus.tsv"])
def test_a_byte_that_is_not_utf8_is_found(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "")
    path.write_bytes(b"\xef\xbb\xbffine\nsecond \xe9t\xe9\n")
    source = path.parent if name.startswith("folder") else path
    with pytest.raises(CorpusError, match=r", line 2: byte 0xe9 is not UTF-8; save the file as"):
        read_corpus(source)


def test_a_matrix_file_is_read_with_the_vocabulary_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "news.npz"
    save_npz(path, COUNTS)
    assert read_corpus(path).vocabulary == ("word_0000", "word_0001", "word_0002")
    write(tmp_path / "vocab.txt", "x\ny\nz")
    assert read_corpus(path).vocabulary == ("x", "y", "z")
    write(tmp_path / "news.vocabulary.txt", "i\nj\nk\n")
    corpus = read_corpus(path)
    assert corpus.vocabulary == ("i", "j", "k")
    assert corpus.documents == {"train": 2, "validation": 1, "test": 0}
    assert corpus.left_out["train"] == 1


def test_a_folder_of_matrices_is_read_by_partition(tmp_path: Path) -> None:
    save_npz(tmp_path / "train.npz", COUNTS)
    save_npz(tmp_path / "test.npz", COUNTS[:1])
    assert read_corpus(tmp_path).documents == {"train": 2, "validation": 1, "test": 1}
    save_npz(tmp_path / "validation.npz", COUNTS[1:])
    write(tmp_path / "vocabulary.txt", "x\ny\nz\n")
    corpus = read_corpus(tmp_path)
    assert corpus.documents == {"train": 3, "validation": 2, "test": 1}
    assert corpus.left_out == {"train": 1, "validation": 1, "test": 0}
    assert corpus.vocabulary == ("x", "y", "z")


def test_a_vocabulary_of_another_length_is_refused_with_both_numbers(tmp_path: Path) -> None:
    save_npz(tmp_path / "m.npz", COUNTS)
    write(tmp_path / "vocabulary.txt", "x\ny\n")
    with pytest.raises(CorpusError, match=r"vocabulary\.txt: 2 words, but .*m\.npz has 3 columns"):
        read_corpus(tmp_path / "m.npz")


def test_a_broken_or_pickled_matrix_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    save_npz(path, COUNTS)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:200]):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match=r"m\.npz: not a whole matrix file; one that scipy"):
            read_corpus(path)
    np.savez(path, data=np.array([print], dtype=object), format=np.array("csr"))
    with pytest.raises(CorpusError, match="pickled arrays are refused"):
        read_corpus(path)
    out_of_range = csr_matrix(COUNTS)
    out_of_range.indices[0] = 1_000_000
    save_npz(path, out_of_range)
    with pytest.raises(CorpusError, match="not a whole matrix file"):
        read_corpus(path)


def test_a_file_uri_is_a_path(tmp_path: Path) -> None:
    path = write(tmp_path / "with blank.txt", "\n".join(TEXTS))
    assert " " not in path.as_uri()
    corpus = read_corpus(path.as_uri(), OPTIONS)
    assert corpus.source == str(path)
    assert corpus.fingerprint == Corpus.read(path, options=OPTIONS).fingerprint


@pytest.mark.parametrize("uri", ["https://a.b/c.tsv", "file://host/x"])
def test_another_uri_is_refused_in_one_line(uri: str) -> None:
    with pytest.raises(CorpusError, match="only local paths and URIs of file:///, s3://"):
        read_corpus(uri)


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", "\n".join(TEXTS))
    monkeypatch.chdir(tmp_path)
    assert read_corpus("a.txt", OPTIONS).source == str(path)


def test_a_name_wins_over_a_folder_unless_it_is_given_as_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "synthetic" / "corpus.tsv", "red\ttrain\nred\tval\n")
    monkeypatch.chdir(tmp_path)
    assert read_corpus("synthetic").source == "synthetic"
    for source in (Path("synthetic"), "./synthetic/"):
        corpus = read_corpus(source, OPTIONS)
        assert corpus.source == str(tmp_path / "synthetic")


def test_a_seed_can_be_named_with_the_synthetic_corpus() -> None:
    assert read_corpus("synthetic:3").source == "synthetic:3"
    assert read_corpus("synthetic:0").fingerprint == read_corpus("synthetic").fingerprint
    assert read_corpus("synthetic:3").fingerprint != read_corpus("synthetic").fingerprint
    with pytest.raises(CorpusError, match=r"^synthetic:x: the seed must be a whole number, as in"):
        read_corpus("synthetic:x")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("docstring", r"^docstring: no such file or folder, .* did you mean docstrings\?$"),
        ("quite-different", r"always there \(docstrings, docstrings:installed, synthetic.*\)$"),
        ("sub/news.txt", r"did you mean sub/news\.tsv\?$"),
        ("notes.pdf", r"^notes\.pdf: exists, but is of no format known here: .*a \.tsv file"),
        ("empty", r"^empty: exists, but is of no format"),
        ("", r"^the source is empty; a file, a folder or one of docstrings"),
        ("~no-such-user-here/x", r"no such file or folder"),
        ("n" * 5000, r": cannot be read: File name too long"),
    ],
)
def test_an_unknown_source_is_refused_with_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    write(tmp_path / "sub" / "news.tsv", TSV)
    write(tmp_path / "notes.pdf", "%PDF")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match=message) as caught:
        read_corpus(source)
    assert "\n" not in str(caught.value)


def test_every_corpus_and_format_has_a_summary_of_one_line() -> None:
    names = [form.name for form in FORMATS]
    assert len(set(names)) == len(names)
    for summary in (*CORPORA.values(), *(form.summary for form in FORMATS)):
        assert summary
        assert "\n" not in summary
