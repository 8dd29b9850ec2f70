"""The corpus of a submitted job: sent along, or left where every node finds it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ntm_ray.corpus import CORPORA, Corpus
from ntm_ray.corpus.object_store import is_uri
from ntm_ray.errors import ClusterError
from ntm_ray.submission.distributions import Files, total_bytes

if TYPE_CHECKING:
    from ntm_ray.tuning import TuningJob

CORPUS_LIMIT = 80_000_000
"""Bytes of corpus files that are sent along with a job; the Jobs API takes 100 MiB in all."""

_FOLDER = "corpus"
_SUFFIXES = {".txt", ".tsv", ".npz"}


def corpus_to_send(job: TuningJob) -> tuple[str, Files]:
    """What the job file that is sent names as its corpus, and the files that go with it.

    A corpus by name, a URI (a `file:///` one too, for a path that is mounted on all nodes) and a
    path that is not on this machine stay as they are.

    Raises:
        ClusterError: If the files are too large to be sent.
    """
    if isinstance(job.corpus, Corpus):
        return "corpus.npz", {"corpus.npz": _saved(job.corpus)}
    path = Path(job.corpus).expanduser()
    if job.corpus in CORPORA or is_uri(job.corpus) or not path.exists():
        return job.corpus, {}
    path = path.absolute()
    files = _of_folder(path) if path.is_dir() else _with_vocabulary(path)
    if (size := total_bytes(files.values())) > CORPUS_LIMIT:
        raise _too_large(str(path), size)
    return f"{_FOLDER}/{path.name}", files


def _of_folder(folder: Path) -> Files:
    return {
        f"{_FOLDER}/{folder.name}/{path.relative_to(folder).as_posix()}": path
        for path in sorted(folder.rglob("*"))
        if path.suffix in _SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def _with_vocabulary(file: Path) -> Files:
    """A file, and the vocabulary files that a reader looks for beside it."""
    names = [file.name, f"{file.stem}.vocabulary.txt", "vocabulary.txt", "vocab.txt"]
    beside = [file.with_name(name) for name in names]
    return {f"{_FOLDER}/{path.name}": path for path in beside if path.is_file()}


def _saved(corpus: Corpus) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "corpus.npz")
        corpus.save(file)
        if (size := file.stat().st_size) > CORPUS_LIMIT:
            raise _too_large(f"corpus {corpus.name!r}, made in memory", size)
        return file.read_bytes()


def _too_large(what: str, size: int) -> ClusterError:
    return ClusterError(
        f"{what}: {size / 1e6:,.0f} MB is more than the {CORPUS_LIMIT / 1e6:.0f} MB that are sent "
        "along with a job; copy it to s3://..., gs://... or a path that is mounted on all nodes, "
        "and name that in the job (file:///PATH, if this machine has it mounted too)"
    )
