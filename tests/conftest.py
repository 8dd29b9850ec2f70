"""What tests of several parts share: an S3 on loopback."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.loopback_s3 import ENVIRONMENT, LoopbackS3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def s3_server() -> Iterator[LoopbackS3]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = LoopbackS3()
    yield server
    server.stop()


@pytest.fixture
def s3(
    s3_server: LoopbackS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[LoopbackS3]:
    """An S3 that answers at once and has an empty bucket; its credentials are those of the test.

    What the test and its processes keep of it lies in a cache of their own.
    """
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NTM_RAY_CACHE", str(tmp_path / "cache"))
    s3_server.as_new()
    yield s3_server
    s3_server.as_new()
