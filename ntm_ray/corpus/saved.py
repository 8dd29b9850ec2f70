"""A corpus as one file: an uncompressed .npz of plain arrays, without pickle.

Each array starts at a multiple of 64 bytes of the file, so that it can be used where it lies, in
memory that the system pages in and drops as it sees fit: a corpus may be larger than memory.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.sparse import csr_matrix

from ntm_ray.corpus.atomic import replacing
from ntm_ray.corpus.corpus import PARTITIONS, Corpus
from ntm_ray.errors import CorpusError

if TYPE_CHECKING:
    from typing import BinaryIO

    from numpy.typing import NDArray

_ALIGNMENT = 64
_PADDING_FIELD = 0x4E52  # of no use to anybody else
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
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            _write_array(archive, f"{name}.npy", array)


def load_corpus(path: str | Path, *, memory_map: bool = False) -> Corpus:
    """Reads a file that `save_corpus` wrote.

    Args:
        path: the file.
        memory_map: leave the counts in the file and read them, read-only, as they are used. The
            file must stay as it is for as long as the corpus is in use.

    Raises:
        CorpusError: there is no such file, or it is not a whole saved corpus.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(arrays["corpus"].tobytes())
            vocabulary = tuple(about["vocabulary"])
            partitions = {}
            for partition in PARTITIONS:
                data, indices, indptr = (
                    _mapped_array(Path(path), f"{partition}_{array}.npy")
                    if memory_map
                    else arrays[f"{partition}_{array}"]
                    for array in ARRAYS
                )
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


def _write_array(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    info = zipfile.ZipInfo(name)
    # Local header, name and the 64-bit sizes that zipfile puts before this field, whose own
    # header is 4 bytes; an .npy file's header is a multiple of 64 bytes itself.
    before = archive.start_dir + 30 + len(name) + 20 + 4
    padding = -before % _ALIGNMENT
    info.extra = struct.pack("<HH", _PADDING_FIELD, padding) + bytes(padding)
    with archive.open(info, "w", force_zip64=True) as member:
        np.lib.format.write_array(cast("BinaryIO", member), array, allow_pickle=False)


def _mapped_array(path: Path, name: str) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        info = archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        file.seek(info.header_offset)
        name_length, extra_length = struct.unpack("<26xHH", file.read(30))
        file.seek(name_length + extra_length, 1)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if shape == (0,):  # nothing cannot be mapped
            return np.empty(shape, dtype)
        mapped = np.memmap(path, dtype=dtype, mode="r", offset=file.tell(), shape=shape)
        return mapped.view(np.ndarray)


def is_saved_corpus(path: Path) -> bool:
    """Whether `path` looks like a file that `save_corpus` wrote, from its table of contents."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "corpus.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
