"""A corpus as one file."""

from __future__ import annotations

import mmap
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntm_ray.corpus import Corpus, bars, read_corpus
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_saved_corpus_comes_back_as_it_was(tmp_path: Path) -> None:
    corpus = replace(bars(30), left_out={"train": 2, "validation": 0, "test": 1}, source="here")
    corpus.save(tmp_path / "corpus")
    back = Corpus.load(tmp_path / "corpus")
    assert back.describe() == corpus.describe()
    assert back.vocabulary == corpus.vocabulary
    assert back.train.indices.dtype == np.int32
    np.testing.assert_array_equal(back.true_topics, corpus.true_topics)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_saved_corpus_can_be_read_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "bars.npz"
    bars(30).save(path)
    corpus = read_corpus(path)
    assert corpus.fingerprint == bars(30).fingerprint
    assert corpus.source == str(path)


def test_saving_over_a_corpus_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "bars.npz"
    bars(30).save(path)
    broken = replace(bars(40), left_out={"train": {1}})  # type: ignore[dict-item]
    unsaved = replace(bars(40), true_topics=np.array([object()]))
    for corpus in (broken, unsaved):
        with pytest.raises((TypeError, ValueError)):
            corpus.save(path)
    assert Corpus.load(path).fingerprint == bars(30).fingerprint
    assert [file.name for file in tmp_path.iterdir()] == ["bars.npz"]


def test_who_reads_while_a_corpus_is_replaced_sees_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "bars.npz"
    bars(30).save(path)
    old = path.read_bytes()
    with path.open("rb") as reader:
        bars(40).save(path)
        assert reader.read() == old
    assert Corpus.load(path).fingerprint == bars(40).fingerprint


@pytest.mark.parametrize("kept", [0, 10, 400, -30])
def test_a_cut_off_file_is_refused_in_one_line(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "bars.npz"
    bars(30).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorpusError, match=r"bars\.npz: not a whole corpus file; one that Corp"):
        Corpus.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"gone\.npz: no such file; a corpus that Corpus\.save"):
        Corpus.load(tmp_path / "gone.npz")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus.npz"
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(CorpusError, match="not a whole corpus file"):
        Corpus.load(path)


def test_an_index_out_of_range_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bars.npz"
    corpus = bars(30)
    corpus.train.indices[-1] = 10_000
    corpus.save(path)
    with pytest.raises(CorpusError, match="not a whole corpus file"):
        Corpus.load(path)


def owner(array: Any) -> Any:
    """What holds the memory that `array` is a view of, at the end of the chain."""
    while (base := getattr(array, "base", None)) is not None:
        array = base
    return array


def test_a_mapped_corpus_is_the_same_and_stays_in_its_file(tmp_path: Path) -> None:
    corpus = bars(30)
    corpus.save(tmp_path / "corpus.npz")
    mapped = Corpus.load(tmp_path / "corpus.npz", memory_map=True)
    assert mapped.fingerprint == corpus.fingerprint
    for array in (mapped.train.data, mapped.train.indices, mapped.train.indptr):
        assert isinstance(owner(array), mmap.mmap)
        assert not array.flags.writeable
        assert array.ctypes.data % 64 == 0


def test_a_partition_without_documents_can_be_mapped(tmp_path: Path) -> None:
    Corpus.from_counts(np.eye(3), "abc", validation_fraction=0).save(tmp_path / "corpus.npz")
    mapped = Corpus.load(tmp_path / "corpus.npz", memory_map=True)
    assert mapped.documents == {"train": 3, "validation": 0, "test": 0}


def test_a_compressed_corpus_cannot_be_mapped(tmp_path: Path) -> None:
    bars(30).save(tmp_path / "corpus.npz")
    with np.load(tmp_path / "corpus.npz") as arrays:
        np.savez_compressed(tmp_path / "compressed.npz", **arrays)
    assert Corpus.load(tmp_path / "compressed.npz").fingerprint == bars(30).fingerprint
    with pytest.raises(CorpusError, match="not a whole corpus file"):
        Corpus.load(tmp_path / "compressed.npz", memory_map=True)
