"""Places: folders in a local file system or in an object store, that all nodes of a job share."""

from __future__ import annotations

import contextlib
import mmap
import os
import shlex
import shutil
import tarfile
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ntm_ray.corpus.atomic import replacing, replacing_folder
from ntm_ray.corpus.object_store import ObjectPath, is_uri
from ntm_ray.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


# In an object store, a folder as a whole is one object of this name.
_SUFFIX = ".tar"


@dataclass(frozen=True)
class Place:
    """A folder that may be on this machine or in an object store; it need not exist.

    A value: cheap to make, to compare and to send to another process. Names of files in it hold
    no slash. What an object store cannot do for the moment is tried again for five minutes, or
    for its `patience`; what is refused for good is a `StorageError` at once, in one line.

    Attributes:
        location: Where it is.
    """

    location: Path | ObjectPath

    @classmethod
    def at(cls, where: str | Path) -> Place:
        """Take a path, or a URI of `s3://`, `gs://` or `file:///`.

        Options of an object store are the query of its URI, as in
        `s3://bucket/runs?endpoint_override=127.0.0.1:9000&scheme=http`; credentials come from the
        environment of each process.

        Raises:
            StorageError: The URI is none of these, or holds credentials.
        """
        text = str(where)
        if isinstance(where, Path) or not is_uri(text):
            return cls(Path(where).absolute())
        if text.startswith("file:///"):
            return cls(Path(url2pathname(urlsplit(text).path)))
        return cls(ObjectPath.parse(text))

    def __truediv__(self, name: str) -> Place:
        return Place(self.location / name)

    def __str__(self) -> str:
        return self.uri

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of a mounted file system."""
        return isinstance(self.location, Path)

    @property
    def path(self) -> Path:
        """The path of a local place.

        Raises:
            StorageError: It is not local.
        """
        if isinstance(self.location, ObjectPath):
            raise StorageError(f"{self.uri}: lies in an object store, and has no local path")
        return self.location

    @property
    def uri(self) -> str:
        """What `at` makes it of again: a local place's path, or the URI with its options."""
        return str(self.location) if isinstance(self.location, Path) else self.location.uri

    @property
    def quoted(self) -> str:
        """The URI or path as a word of a shell."""
        return shlex.quote(self.uri)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.location.name

    def with_patience(self, seconds: float) -> Place:
        """The same place, whose passing faults are waited out for so long."""
        if isinstance(self.location, Path):
            return self
        return Place(replace(self.location, patience=seconds))

    # Files

    def read_bytes(self, name: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: It is not there.
            OSError: It cannot be read.
        """
        if isinstance(self.location, Path):
            return (self.location / name).read_bytes()
        return (self.location / name).read()

    def write_bytes(self, name: str, data: bytes) -> bool:
        """Write a file, whole or not at all.

        Returns:
            Whether that went well at once. If not, an attempt that an object store did not answer
            may still be on its way, and arrive after a later write.

        Raises:
            OSError: It cannot be written.
        """
        if isinstance(self.location, ObjectPath):
            return (self.location / name).write(data)
        self.location.mkdir(parents=True, exist_ok=True)
        with replacing(self.location / name) as file:
            file.write(data)
        return True

    def put_file(self, file: Path) -> None:
        """Put a local file here, under its own name, whole or not at all.

        Raises:
            OSError: It cannot be read, or not be written here.
        """
        size = file.stat().st_size
        if isinstance(self.location, Path) or not size:
            self.write_bytes(file.name, file.read_bytes())
            return
        with (
            file.open("rb") as content,
            mmap.mmap(content.fileno(), size, access=mmap.ACCESS_READ) as mapped,
        ):
            (self.location / file.name).write(mapped)

    def delete_file(self, name: str) -> None:
        """Remove a file; none there is fine."""
        if isinstance(self.location, Path):
            (self.location / name).unlink(missing_ok=True)
        else:
            (self.location / name).delete()

    def exists(self) -> bool:
        """Whether there is a folder here: one of `put_folder`, or one with a file in it."""
        if isinstance(self.location, Path):
            return self.location.is_dir()
        packed = _packed(self.location)
        beside = replace(self.location, key=packed.key.rpartition("/")[0]).below()
        return any(info.name in (self.name, packed.name) for info in beside)

    def names(self) -> list[str]:
        """Names of the files and folders in it, sorted; none if it does not exist."""
        if isinstance(self.location, Path):
            found = self.location.iterdir() if self.location.is_dir() else ()
            return sorted(entry.name for entry in found)
        return sorted(info.name.removesuffix(_SUFFIX) for info in self.location.below())

    def folders(self) -> list[str]:
        """Paths, from here, of all folders below that hold files, as in `0003/9`, sorted."""
        if isinstance(self.location, Path):
            files = (path for path in self.location.rglob("*") if path.is_file())
            found = {file.parent.relative_to(self.location).as_posix() for file in files}
            return sorted(found - {"."})
        names = [info.name for info in self.location.below(recursive=True) if info.is_object]
        packed = {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)}
        plain = {name.rpartition("/")[0] for name in names if not name.endswith(_SUFFIX)}
        return sorted((packed | plain) - {""})

    def delete(self) -> None:
        """Remove it with all that is in it; nothing there is fine.

        What `put_folder` has put into an object store is removed by `delete_folder`.
        """
        if isinstance(self.location, Path):
            shutil.rmtree(self.location, ignore_errors=True)
            return
        self.location.delete_below()

    @contextlib.contextmanager
    def brought_here(self) -> Iterator[Path]:
        """Give a local folder with the files of this one; it may be gone after the block.

        What `put_folder` has put here is found as well.

        Raises:
            OSError: They cannot be read.
        """
        if isinstance(self.location, Path):
            yield self.location
            return
        with tempfile.TemporaryDirectory() as here:
            names = self.names()
            for name in names:
                Path(here, name).write_bytes(self.read_bytes(name))
            if not names:
                self.get_folder(Path(here, "whole"))
            yield Path(here) if names else Path(here, "whole")

    # Folders as a whole

    @contextlib.contextmanager
    def new_folder(self) -> Iterator[Path]:
        """Give an empty local folder whose files are put here when the block ends well.

        Raises:
            OSError: They cannot be written.
        """
        if isinstance(self.location, Path):
            with replacing_folder(self.location) as new:
                yield new
            return
        with tempfile.TemporaryDirectory() as beside:
            yield Path(beside)
            self.put_folder(Path(beside))

    def put_folder(self, folder: Path) -> None:
        """Put the files of a local folder here, all at once, in place of what is here.

        In an object store it becomes a single object, so that a reader sees all of it or none.

        Raises:
            OSError: It cannot be read, or not be written here.
        """
        if isinstance(self.location, Path):
            with replacing_folder(self.location) as new:
                _link_all(folder, new)
            return
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                for file in sorted(folder.iterdir()):
                    tar.add(file, file.name)
            packed.flush()
            with mmap.mmap(packed.fileno(), 0, access=mmap.ACCESS_READ) as content:
                _packed(self.location).write(content)

    def get_folder(self, folder: Path) -> None:
        """Make a local folder of what `put_folder` has put here, in place of what is there.

        Raises:
            FileNotFoundError: Nothing is here.
            OSError: It cannot be read, or the local folder not be written.
        """
        with replacing_folder(folder) as new:
            if isinstance(self.location, Path):
                _link_all(self.location, new)
                return
            with tempfile.TemporaryFile() as packed:
                _packed(self.location).download(packed)
                packed.seek(0)
                with tarfile.open(fileobj=packed) as tar:
                    for name, member in _plain_files(tar):
                        with (new / name).open("wb") as out:
                            shutil.copyfileobj(member, out)

    def delete_folder(self) -> None:
        """Remove what `put_folder` has put here; nothing there is fine."""
        if isinstance(self.location, Path):
            self.delete()
        else:
            _packed(self.location).delete()


def _link_all(folder: Path, new: Path) -> None:
    for file in folder.iterdir():
        try:
            os.link(file, new / file.name)
        except OSError:  # not every file system has links
            shutil.copyfile(file, new / file.name)


def _plain_files(tar: tarfile.TarFile) -> Iterator[tuple[str, Any]]:
    """The files of an archive that lie in no folder: those that `put_folder` puts there."""
    for member in tar:
        if member.isfile() and Path(member.name).name == member.name:
            yield member.name, tar.extractfile(member)


def _packed(location: ObjectPath) -> ObjectPath:
    return replace(location, key=location.key + _SUFFIX)
