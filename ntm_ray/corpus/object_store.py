"""Object stores: what lies at an `s3://` or `gs://` URI, through `pyarrow.fs`.

A path of an object store is a value; the connections to the store are made on first use, once a
process. Credentials come from the environment of the process and never from the URI.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ntm_ray.corpus.patience import patiently
from ntm_ray.errors import StorageError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

T = TypeVar("T")

SCHEMES = {"s3": "s3", "gs": "gs", "gcs": "gs"}
"""The schemes that are understood, and what they are called here."""

_OPTIONS = {
    "s3": ("region", "scheme", "endpoint_override", "tls_ca_file_path", "anonymous"),
    "gs": ("scheme", "endpoint_override", "anonymous", "project_id"),
}
# Of the environment of the process that names the storage; it travels with the path, since other
# nodes of a cluster may not have it.
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("STORAGE_EMULATOR_HOST",),
}
# Seconds. The SDK has 1 and 3, which a busy machine or a large answer exceeds.
_CONNECT_TIMEOUT = 5.0
_REQUEST_TIMEOUT = 10.0
PATIENCE = 300.0
"""Seconds for which what an object store refuses for the moment is tried again, unless said."""

_PART = 1 << 26


@dataclass(frozen=True)
class ObjectInfo:
    """One thing below a path of an object store.

    Attributes:
        name: What of its key comes after the path and a slash.
        is_object: Whether it is an object, and not a part that several keys have in common.
        size: Bytes, of an object.
        modified: When it was written, in nanoseconds since 1970, of an object.
    """

    name: str
    is_object: bool
    size: int | None
    modified: int | None


def is_uri(text: str) -> bool:
    """Whether a text is a URI of any scheme, not a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


@dataclass(frozen=True)
class ObjectPath:
    """A path in an object store, of one object or of all whose keys begin with it.

    Attributes:
        scheme: `s3` or `gs`.
        key: The bucket and what follows it, as in `bucket/runs/job`.
        options: How the store is reached, as said in the URI, as in `region=eu-west-1`.
        endpoint: The URL of a store that is not the provider's own, as said in the environment.
        patience: Seconds for which a passing fault is waited out.

    All that reads or writes raises `StorageError` with one line when that cannot be done.
    """

    scheme: str
    key: str
    options: str = ""
    endpoint: str = ""
    patience: float = PATIENCE

    @classmethod
    def parse(cls, uri: str) -> ObjectPath:
        """Take a URI apart.

        Raises:
            StorageError: It is of no known scheme, names no bucket, holds credentials, or has an
                option that does not exist.
        """
        parts = urlsplit(uri)
        if parts.scheme not in SCHEMES:
            raise StorageError(f"{uri}: a path, or a URI of s3://, gs:// or file:/// is wanted")
        scheme = SCHEMES[parts.scheme]
        if "@" in parts.netloc:
            bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            raise StorageError(
                f"{bare}: no credentials in a URI, which is written into files; give them in the "
                "environment of every node"
            )
        key = f"{parts.netloc}/{unquote(parts.path).strip('/')}".strip("/")
        if not parts.netloc:
            raise StorageError(f"{uri}: names no bucket, as in {scheme}://bucket/runs")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        for name in options:
            if name not in _OPTIONS[scheme]:
                known = ", ".join(_OPTIONS[scheme])
                bare = parts._replace(query="").geturl()  # the value may be a secret
                raise StorageError(f"{bare}: there is no option {name!r}; there are {known}")
        endpoint = ""
        if "endpoint_override" not in options:
            said = (os.environ.get(name) for name in _ENDPOINTS[scheme])
            endpoint = next((url for url in said if url), "")
        return cls(scheme, key, urlencode(options, safe="/:"), endpoint)

    @property
    def uri(self) -> str:
        """The URI, with its options."""
        query = f"?{self.options}" if self.options else ""
        return f"{self.scheme}://{quote(self.key)}{query}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def __truediv__(self, name: str) -> ObjectPath:
        return replace(self, key=f"{self.key}/{name}")

    # What is done with it

    def read(self) -> bytes:
        """Read the object.

        Raises:
            FileNotFoundError: There is none.
        """
        return self._patiently(self._read)

    def download(self, file: BinaryIO) -> None:
        """Write the object's content to a file, a part at a time.

        Raises:
            FileNotFoundError: There is none.
        """
        done, size = 0, 1
        while done < size:
            part, size = self._patiently(partial(self._part, done))
            file.write(part)
            done += _PART

    def tag(self) -> str:
        """What an object store says of an object's content, another after each change.

        Raises:
            FileNotFoundError: There is none.
        """
        return self._patiently(self._tag)

    def write(self, data: bytes | mmap.mmap) -> None:
        """Make the object, or replace it, as a whole."""
        self._patiently(lambda: self._write(data))

    def below(self, *, recursive: bool = False) -> list[ObjectInfo]:
        """What lies below it, in the order of the keys; nothing if there is nothing."""
        return self._patiently(lambda: self._below(recursive=recursive))

    def is_bucket_there(self) -> bool:
        """Whether its bucket exists; who may not ask is told that it does not."""
        bucket = self.key.partition("/")[0]
        found = self._patiently(lambda: self.file_system().get_file_info(bucket))
        return bool(found.type.value)

    def delete(self) -> None:
        """Remove the object, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            self._patiently(lambda: self.file_system().delete_file(self.key))

    def delete_below(self) -> None:
        """Remove all objects below it, if there are any."""
        with contextlib.suppress(FileNotFoundError):
            self._patiently(self._delete_below)

    def _patiently(self, action: Callable[[], T]) -> T:
        return patiently(action, self.uri, self.patience)

    def _read(self) -> bytes:
        with self.file_system().open_input_file(self.key) as file:
            return bytes(file.read())

    def _tag(self) -> str:
        with self.file_system().open_input_file(self.key) as file:
            said = {name.lower(): str(value) for name, value in file.metadata().items()}
        return said.get("etag", "")

    def _part(self, begin: int) -> tuple[bytes, int]:
        with self.file_system().open_input_file(self.key) as file:
            size = int(file.size())
            return bytes(file.read_at(min(_PART, size - begin), begin)), size

    def _write(self, data: bytes | mmap.mmap) -> None:
        # All in one call: a stream that fails between two would be closed as if it were whole.
        with self.file_system().open_output_stream(self.key) as stream:
            stream.write(data)

    def _below(self, *, recursive: bool) -> list[ObjectInfo]:
        from pyarrow import fs

        selector = fs.FileSelector(self.key, allow_not_found=True, recursive=recursive)
        found = self.file_system().get_file_info(selector)
        infos = [
            ObjectInfo(info.path[len(self.key) + 1 :], info.is_file, info.size, info.mtime_ns)
            for info in found
        ]
        return sorted(infos, key=lambda info: info.name)

    def _delete_below(self) -> None:
        if self._below(recursive=True):
            self.file_system().delete_dir(self.key)

    def file_system(self) -> Any:
        """The `pyarrow.fs.FileSystem` that it lies in; one for all of a process."""
        options = dict(parse_qsl(self.options))
        if self.endpoint:
            scheme, _, host = self.endpoint.rpartition("://")
            options |= {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
        if self.scheme == "gs":
            return _google(tuple(sorted(options.items())))
        named = options.get("region") or _region_of_environment()
        if not named and "endpoint_override" not in options:
            options["region"] = _region(self.key.partition("/")[0])
        return _amazon(tuple(sorted(options.items())))


def _region_of_environment() -> str | None:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


@functools.cache
def _region(bucket: str) -> str:
    from pyarrow import fs

    return str(fs.resolve_s3_region(bucket))


@functools.cache
def _amazon(options: tuple[tuple[str, str], ...]) -> Any:
    from pyarrow import fs

    said: dict[str, Any] = dict(options)
    return fs.S3FileSystem(
        **{"region": _region_of_environment() or "us-east-1"}
        | said
        | {"anonymous": said.get("anonymous") == "true"},
        connect_timeout=_CONNECT_TIMEOUT,
        request_timeout=_REQUEST_TIMEOUT,
        # Waiting and trying again is done here, for longer than the SDK would.
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        # An object of one part is then one request, not three.
        allow_delayed_open=True,
    )


@functools.cache
def _google(options: tuple[tuple[str, str], ...]) -> Any:
    from datetime import timedelta

    from pyarrow import fs

    said: dict[str, Any] = dict(options)
    return fs.GcsFileSystem(
        **said | {"anonymous": said.get("anonymous") == "true"},
        retry_time_limit=timedelta(seconds=_REQUEST_TIMEOUT),
    )
