"""Corpora in files of text: a folder, a file of lines, `corpus.tsv`. All of it UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntm_ray.corpus.corpus import Corpus
from ntm_ray.corpus.counts import checked_vocabulary
from ntm_ray.corpus.text import corpus_of_texts
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.corpus.options import ReadOptions

PARTITION_NAMES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
VOCABULARY_NAMES = ("vocabulary.txt", "vocab.txt")


def read_text_folder(folder: Path, options: ReadOptions) -> Corpus:
    """Reads every `*.txt` below `folder` as one document, in the order of their paths.

    Hidden files, and all files below hidden folders, are not read.

    Raises:
        CorpusError: a file is not UTF-8, or the texts make no corpus.
    """
    paths = sorted(
        (path for path in folder.rglob("*.txt") if not _hidden(path.relative_to(folder))),
        key=lambda path: path.relative_to(folder).parts,
    )
    texts = [_read_utf8(path) for path in paths]
    return corpus_of_texts(texts, options=options, name=folder.name, source=str(folder))


def read_text_lines(path: Path, options: ReadOptions) -> Corpus:
    """Reads every line of `path` as one document; blank lines are left out.

    Raises:
        CorpusError: the file is not UTF-8, or the texts make no corpus.
    """
    return corpus_of_texts(read_lines(path), options=options, name=path.stem, source=str(path))


def read_partitioned(path: Path, options: ReadOptions) -> Corpus:
    """Reads a `corpus.tsv`, or a folder that holds one: text, TAB, partition, and maybe labels.

    The format of OCTIS (Terragni et al., 2021). A partition is `train`, `val` (or `valid`, or
    `validation`) or `test`; without validation documents, a part of the training documents is
    split off. If a `vocabulary.txt` or `vocab.txt` lies beside the file, texts are split at
    white space and counted against exactly that vocabulary; otherwise the vocabulary is learnt
    from the training texts. Labels are not used; blank lines are skipped.

    Raises:
        CorpusError: a line is not as described, a file is not UTF-8, or the texts make no corpus.
    """
    file = path / "corpus.tsv" if path.is_dir() else path
    texts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for number, line in enumerate(read_lines(file), start=1):
        if not line.strip():
            continue
        text, *rest = line.split("\t")
        if not rest:
            raise CorpusError(
                f"{file}, line {number}: no TAB; a line is a text, TAB and its partition"
            )
        partition = PARTITION_NAMES.get(rest[0].strip())
        if partition is None:
            raise CorpusError(
                f"{file}, line {number}: unknown partition {rest[0]!r}; "
                f"one of {', '.join(PARTITION_NAMES)} is wanted"
            )
        texts[partition].append(text)
    vocabulary_file = vocabulary_beside(file)
    if vocabulary_file is None:
        return corpus_of_texts(
            texts["train"],
            validation=texts["validation"] or None,
            test=texts["test"],
            options=options,
            name=path.stem,
            source=str(path),
        )
    vocabulary = read_vocabulary(vocabulary_file)
    from sklearn.feature_extraction.text import CountVectorizer  # a second, only where needed

    counter = CountVectorizer(vocabulary=vocabulary, analyzer=str.split)
    return Corpus.from_counts(
        counter.transform(texts["train"]),
        vocabulary,
        validation=counter.transform(texts["validation"]) if texts["validation"] else None,
        test=counter.transform(texts["test"]),
        validation_fraction=options.validation_fraction,
        seed=options.seed,
        name=path.stem,
        source=str(path),
    )


def holds_text_files(folder: Path) -> bool:
    """Whether `read_text_folder` would find a document."""
    return any(not _hidden(path.relative_to(folder)) for path in folder.rglob("*.txt"))


def vocabulary_beside(path: Path, *preferred: str) -> Path | None:
    """The vocabulary file in the folder of `path`, if there is one; `preferred` names first."""
    for name in (*preferred, *VOCABULARY_NAMES):
        if path.with_name(name).is_file():
            return path.with_name(name)
    return None


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """Reads a vocabulary: one word a line, line number (from 0) = column.

    Raises:
        CorpusError: the file is not UTF-8, holds no word, a blank line or a word twice.
    """
    words = checked_vocabulary(read_lines(path), f"{path}, line")
    if not words:
        raise CorpusError(f"{path}: empty; one word a line is wanted")
    return words


def read_lines(path: Path) -> list[str]:
    """Reads the lines of a UTF-8 file, ended by LF or CR LF and by nothing else.

    Raises:
        CorpusError: the file cannot be read or is not UTF-8.
    """
    lines = [line.removesuffix("\r") for line in _read_utf8(path).split("\n")]
    return lines if lines[-1] else lines[:-1]


def _read_utf8(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts from behind the byte order mark, which holds no line end.
        line = error.object[: error.start].count(b"\n") + 1
        raise CorpusError(
            f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8"
        ) from error


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)
