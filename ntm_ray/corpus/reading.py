"""Reading a corpus from wherever it is: the one table of formats, and who reads which."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ntm_ray.corpus.docstrings import read_docstrings
from ntm_ray.corpus.files import (
    holds_text_files,
    read_partitioned,
    read_text_folder,
    read_text_lines,
)
from ntm_ray.corpus.matrices import read_matrix, read_matrix_folder
from ntm_ray.corpus.object_store import SCHEMES
from ntm_ray.corpus.options import ReadOptions
from ntm_ray.corpus.synthetic import bars
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntm_ray.corpus.corpus import Corpus

CORPORA = {
    "docstrings": "docstrings of this Python's standard library, read from its source",
    "docstrings:installed": "the same, and those of every installed package",
    "synthetic": "bars of Griffiths and Steyvers (2004): 10 known topics over 25 words",
    "synthetic:SEED": "bars drawn with another seed, as in synthetic:3",
}
"""Name of each corpus that is always there, to one line on what it is."""


@dataclass(frozen=True)
class Format:
    """One way in which a corpus can be stored.

    Attributes:
        name: what people call it.
        summary: one line on what it looks like.
        matches: whether a source is of this format.
        read: reads such a source.
        named: whether its sources are names; those of the others are absolute paths.
    """

    name: str
    summary: str
    matches: Callable[[str], bool]
    read: Callable[[str, ReadOptions], Corpus]
    named: bool = False


def _read_bars(source: str, _options: ReadOptions) -> Corpus:
    seed = source.partition(":")[2]
    if source != "synthetic" and not (seed.isascii() and seed.isdigit()):
        raise CorpusError(f"{source}: the seed must be a whole number, as in synthetic:3")
    return bars(seed=int(seed or 0))


FORMATS: tuple[Format, ...] = (
    Format(
        "docstrings",
        "docstrings or docstrings:installed, by name",
        lambda source: source in ("docstrings", "docstrings:installed"),
        lambda source, options: read_docstrings(
            options, installed=source == "docstrings:installed"
        ),
        named=True,
    ),
    Format(
        "synthetic",
        "synthetic or synthetic:SEED, by name",
        lambda source: source == "synthetic" or source.startswith("synthetic:"),
        _read_bars,
        named=True,
    ),
    Format(
        "corpus.tsv",
        "a .tsv file, or a folder with corpus.tsv: text TAB partition, maybe with a vocabulary",
        lambda source: (
            (Path(source).suffix == ".tsv" and Path(source).is_file())
            or Path(source, "corpus.tsv").is_file()
        ),
        lambda source, options: read_partitioned(Path(source), options),
    ),
    Format(
        "npz folder",
        "a folder with train.npz, maybe validation.npz, test.npz and vocabulary.txt",
        lambda source: Path(source, "train.npz").is_file(),
        lambda source, options: read_matrix_folder(Path(source), options),
    ),
    Format(
        "npz",
        "a .npz file of scipy.sparse.save_npz, maybe with a vocabulary, or one of Corpus.save",
        lambda source: Path(source).suffix == ".npz" and Path(source).is_file(),
        lambda source, options: read_matrix(Path(source), options),
    ),
    Format(
        "text",
        "a .txt file, one document a line",
        lambda source: Path(source).suffix == ".txt" and Path(source).is_file(),
        lambda source, options: read_text_lines(Path(source), options),
    ),
    Format(
        "text folder",
        "a folder of .txt files, one document a file",
        lambda source: Path(source).is_dir() and holds_text_files(Path(source)),
        lambda source, options: read_text_folder(Path(source), options),
    ),
)
"""Every format, in the order in which a source is tried; a new one is added here."""


def read_corpus(source: str | Path, options: ReadOptions | None = None) -> Corpus:
    """Reads the corpus that `source` names, by the first of `FORMATS` that matches.

    Args:
        source: a name of `CORPORA`, a file, a folder, or a URI of one: `file://`, or `s3://` and
            `gs://`, which are fetched into the user's cache when they are new there. A file or
            folder with the name of a corpus is reached as `./docstrings` or as a `Path`.
        options: how raw text becomes counts, and how a validation partition is split off.

    Returns:
        The corpus; its `source` is the name, or the absolute path, so that it can be read again
        from any working directory.

    Raises:
        CorpusError: there is nothing of that name, it is of no known format, or it is broken.
    """
    options = options or ReadOptions()
    if isinstance(source, str) and source.partition("://")[0] in SCHEMES:
        return _read_fetched(source, options)
    try:
        path = _path_meant(source)
        for form in FORMATS:
            meant = source if form.named else path
            if isinstance(meant, str) and form.matches(meant):
                return replace(form.read(meant, options), source=meant)
        raise CorpusError(_unknown(source, path))
    except OSError as error:
        raise CorpusError(f"{source}: cannot be read: {error.strerror}") from error


def _read_fetched(uri: str, options: ReadOptions) -> Corpus:
    from ntm_ray.corpus.fetching import fetched  # only where an object store is read

    try:
        path = fetched(uri)
    except OSError as error:
        raise CorpusError(f"{uri}: cannot be kept here: {error.strerror}") from error
    try:
        return replace(read_corpus(path, options), source=uri)
    except CorpusError as error:
        # Where it is to the user, not where its copy is.
        bare, _, _ = uri.partition("?")
        text = str(error).replace(str(path), bare)
        raise CorpusError(text.replace(str(path.parent), bare.rpartition("/")[0])) from None


def _path_meant(source: str | Path) -> str:
    """The absolute path that `source` is, or stands for as a `file://` URI."""
    if isinstance(source, Path):
        return _absolute(source)
    if not source:
        raise CorpusError(f"the source is empty; a file, a folder or one of {', '.join(CORPORA)}")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        return _absolute(Path(source))
    uri = urlsplit(source)
    if uri.scheme != "file" or uri.netloc not in ("", "localhost"):
        raise CorpusError(
            f"{source}: only local paths and URIs of file:///, s3:// and gs:// can be read; "
            "copy it to this machine first"
        )
    return _absolute(Path(url2pathname(uri.path)))


def _absolute(path: Path) -> str:
    try:
        return str(path.expanduser().absolute())
    except RuntimeError:  # ~name, and there is no user of that name
        return str(path.absolute())


def _unknown(source: str | Path, meant: str) -> str:
    path = Path(meant)
    if path.exists():
        kinds = "; ".join(form.summary for form in FORMATS)
        return f"{source}: exists, but is of no format known here: {kinds}"
    names = {name: name for name in CORPORA}
    if path.parent.is_dir():
        names |= {
            near.name: str(Path(source).parent / near.name) for near in path.parent.iterdir()
        }
    near = difflib.get_close_matches(Path(source).name, names, n=1)
    hint = f"; did you mean {names[near[0]]}?" if near else ""
    known = ", ".join(CORPORA)
    return f"{source}: no such file or folder, nor a corpus that is always there ({known}){hint}"
