from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.submission.client import Client
from tests.submission.head import ROOT, Head, home_with_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """One head for all tests of this folder: starting one takes a while."""
    head = Head.start()
    try:
        yield head
    finally:
        head.stop()


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the example plugin is installed into: the head does not have it."""
    source = tmp_path_factory.mktemp("source") / "my_search"
    shutil.copytree(ROOT / "examples" / "my_search", source)
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", str(folder), str(source)], check=True
    )
    return folder


@pytest.fixture(scope="session")
def client(head: Head, plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The command line of a user who has the head's token, and the plugin."""
    folder = tmp_path_factory.mktemp("client")
    home_with_token(folder / "home", head.token)
    return Client(folder, head.url, os.pathsep.join([str(plugin), str(ROOT)]))
