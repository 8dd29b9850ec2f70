"""Corpora in `.npz` files: sparse matrices as scipy.sparse.save_npz writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scipy.sparse import csr_matrix, load_npz

from ntm_ray.corpus.corpus import Corpus
from ntm_ray.corpus.files import read_vocabulary, vocabulary_beside
from ntm_ray.corpus.saved import UNREADABLE, is_saved_corpus, load_corpus
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.corpus.options import ReadOptions


def read_matrix(path: Path, options: ReadOptions) -> Corpus:
    """Reads one matrix (documents, vocabulary), or a file that `Corpus.save` wrote.

    The vocabulary of a matrix is in `<stem>.vocabulary.txt`, `vocabulary.txt` or `vocab.txt`
    beside it, one word a line; without such a file, words are called `word_0000` and so on. A
    part of the documents is split off for validation.

    Raises:
        CorpusError: the file is broken, or does not fit its vocabulary.
    """
    if is_saved_corpus(path):
        return load_corpus(path)
    train = _load(path)
    return Corpus.from_counts(
        train,
        _vocabulary(path, train.shape[1]),
        validation_fraction=options.validation_fraction,
        seed=options.seed,
        name=path.stem,
        source=str(path),
    )


def read_matrix_folder(folder: Path, options: ReadOptions) -> Corpus:
    """Reads `train.npz` and, where they are, `validation.npz` and `test.npz` from `folder`.

    The vocabulary is found as by `read_matrix`; without `validation.npz`, a part of the training
    documents is split off.

    Raises:
        CorpusError: a file is broken, or does not fit the vocabulary.
    """
    train = _load(folder / "train.npz")
    others = {
        partition: _load(folder / f"{partition}.npz")
        for partition in ("validation", "test")
        if (folder / f"{partition}.npz").is_file()
    }
    return Corpus.from_counts(
        train,
        _vocabulary(folder / "train.npz", train.shape[1]),
        **others,
        validation_fraction=options.validation_fraction,
        seed=options.seed,
        name=folder.name,
        source=str(folder),
    )


def _load(path: Path) -> Any:
    try:
        counts = csr_matrix(load_npz(path))
        # Without this, an index out of range in a broken file would crash the interpreter.
        counts.check_format(full_check=True)
    except UNREADABLE as error:
        raise CorpusError(
            f"{path}: not a whole matrix file; one that scipy.sparse.save_npz wrote is wanted "
            "(pickled arrays are refused)"
        ) from error
    return counts


def _vocabulary(path: Path, feature_dim: int) -> tuple[str, ...]:
    file = vocabulary_beside(path, f"{path.stem}.vocabulary.txt")
    if file is None:
        digits = max(4, len(str(feature_dim - 1)))
        return tuple(f"word_{column:0{digits}d}" for column in range(feature_dim))
    words = read_vocabulary(file)
    if len(words) != feature_dim:
        raise CorpusError(
            f"{file}: {len(words)} words, but {path} has {feature_dim} columns; "
            "one word a column is wanted"
        )
    return words
