"""Object stores: what lies at an `s3://` or `gs://` URI, through `pyarrow.fs`.

A path of an object store is a value; the connections to the store are made on first use, once a
process. Credentials come from the environment of the process and never from the URI.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ntm_ray.errors import StorageError

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
_REQUEST_TIMEOUT = 20.0


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
    """

    scheme: str
    key: str
    options: str = ""
    endpoint: str = ""

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
