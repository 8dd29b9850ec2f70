"""A corpus as one file: an uncompressed .npz of plain arrays, without pickle."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

from ntm_ray.corpus.atomic import replacing
from ntm_ray.corpus.corpus import PARTITIONS, Corpus
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARRAYS = ("data", "indices", "indptr")
# What numpy and zipfile raise at a file of arrays that was cut off or changed.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,  # also NotImplementedError
    zipfile.BadZipFile,
    zlib.error,
)


def save_corpus(corpus: Corpus, path: str | Path) -> None:
    """Writes `corpus` to `path`, at once: a reader sees the old file or the whole new one.

    Raises:
        OSError: the folder cannot be written to.
    """
    path = Path(path)
    about = {
        "name": corpus.name,
        "source": corpus.source,
        "left_out": dict(corpus.left_out),
        "vocabulary": corpus.vocabulary,
    }
    arrays: dict[str, NDArray[Any]] = {}
    arrays["corpus"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    for partition, counts in corpus.partitions.items():
        arrays |= {f"{partition}_{array}": getattr(counts, array) for array in ARRAYS}
    if corpus.true_topics is not None:
        arrays["true_topics"] = corpus.true_topics
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_corpus(path: str | Path) -> Corpus:
    """Reads a file that `save_corpus` wrote.

    Raises:
        CorpusError: there is no such file, or it is not a whole saved corpus.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(arrays["corpus"].tobytes())
            vocabulary = tuple(about["vocabulary"])
            partitions = {}
            for partition in PARTITIONS:
                data, indices, indptr = (arrays[f"{partition}_{array}"] for array in ARRAYS)
                shape = (len(indptr) - 1, len(vocabulary))
                counts = csr_matrix((data, indices, indptr), shape=shape)
                counts.check_format(full_check=True)
                partitions[partition] = counts
            true_topics = arrays.get("true_topics")
        return Corpus(
            **partitions,
            vocabulary=vocabulary,
            name=about["name"],
            source=about["source"],
            left_out=about["left_out"],
            true_topics=true_topics,
        )
    except FileNotFoundError as error:
        raise CorpusError(
            f"{path}: no such file; a corpus that Corpus.save wrote is wanted"
        ) from error
    except UNREADABLE as error:
        raise CorpusError(
            f"{path}: not a whole corpus file; one that Corpus.save wrote is wanted"
        ) from error


def is_saved_corpus(path: Path) -> bool:
    """Whether `path` looks like a file that `save_corpus` wrote, from its table of contents."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "corpus.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
