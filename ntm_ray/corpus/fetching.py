"""Corpora in object stores: brought into the user's cache once, and again when they change."""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ntm_ray.corpus.atomic import replacing_folder
from ntm_ray.corpus.cache import cache_folder
from ntm_ray.corpus.files import VOCABULARY_NAMES
from ntm_ray.corpus.object_store import ObjectPath
from ntm_ray.errors import CorpusError, StorageError

if TYPE_CHECKING:
    from ntm_ray.corpus.object_store import ObjectInfo

# Of a folder, only what some format could read; a whole bucket may be named by mistake.
_SUFFIXES = (".npz", ".tsv", ".txt")
_AT_A_TIME = 8
_MOST_ASKED_FOR = 16
# Seconds. Nothing is lost yet when a corpus cannot be read.
_PATIENCE = 60.0


def fetched(uri: str) -> Path:
    """Bring a file, with the vocabulary beside it, or a folder to this machine.

    Returns:
        Where it is, under its own name. It was not fetched again if names, sizes and times of
        change are what they were; an older copy of it is gone.

    Raises:
        CorpusError: It is not there, or cannot be read.
        OSError: The cache cannot be written.
    """
    try:
        source = replace(ObjectPath.parse(uri), patience=_PATIENCE)
        return _fetched(uri, source)
    except StorageError as error:
        raise CorpusError(str(error)) from error


def _fetched(uri: str, source: ObjectPath) -> Path:
    if "/" not in source.key:
        raise CorpusError(f"{uri}: a whole bucket; a file or a folder in it is wanted")
    above = replace(source, key=source.key.rpartition("/")[0])
    infos = {info.name: info for info in above.below()}
    here = infos.get(source.name)
    if here is None:
        raise CorpusError(_not_there(uri, source, list(infos)))
    if here.is_object:
        stem = Path(source.name).stem
        beside = (f"{stem}.vocabulary.txt", *VOCABULARY_NAMES)
        wanted = [here, *(infos[n] for n in beside if n in infos and infos[n].is_object)]
        root = above
    else:
        wanted = [
            info
            for info in source.below(recursive=True)
            if info.is_object and info.name.endswith(_SUFFIXES) and not _hidden(info.name)
        ]
        root = source
        if not wanted:
            raise CorpusError(f"{uri}: holds no file that ends with {' or '.join(_SUFFIXES)}")
    of_source = cache_folder() / "corpora" / _digest([source.scheme, source.key, source.options])
    state = of_source / _state(root, wanted)
    if not state.exists():
        with replacing_folder(state) as new:
            _download(root, wanted, new if here.is_object else new / source.name)
        for older in of_source.iterdir():
            if older.name != state.name and not older.name.startswith("."):
                shutil.rmtree(older, ignore_errors=True)
    return state / source.name


def _state(root: ObjectPath, wanted: list[ObjectInfo]) -> str:
    """A name for what is there: changes when any of it does."""
    known: list[list[object]] = [[info.name, info.size, info.modified] for info in wanted]
    if len(wanted) <= _MOST_ASKED_FOR:
        # Times are whole seconds. Of many files, asking for each would take too long.
        for said, info in zip(known, wanted, strict=True):
            said.append((root / info.name).tag())
    return _digest(known)


def _download(root: ObjectPath, wanted: list[ObjectInfo], folder: Path) -> None:
    def one(info: ObjectInfo) -> None:
        path = folder / info.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            (root / info.name).download(file)

    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        for _ in threads.map(one, wanted):
            pass


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _not_there(uri: str, source: ObjectPath, names: list[str]) -> str:
    if not source.is_bucket_there():
        return f"{uri}: there is no such bucket, or no access to it"
    near = difflib.get_close_matches(source.name, names, n=1)
    meant = replace(source, key=f"{source.key.rpartition('/')[0]}/{near[0]}").uri if near else ""
    return f"{uri}: there is no such file or folder" + (f"; did you mean {meant}?" if near else "")
