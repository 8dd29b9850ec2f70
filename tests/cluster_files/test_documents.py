"""`cluster/README.md` and `cluster/SECURITY.md` speak of what is there."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cluster_files.shipped import (
    ALL_FILES,
    CLUSTER,
    LAUNCHER_FILES,
    ROOT,
    named,
    without_comments,
)
from tests.cluster_files.test_shell_commands import PROGRAMS, complaints, syntax_errors

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [CLUSTER / "README.md", CLUSTER / "SECURITY.md"]


def commands(path: Path) -> list[str]:
    """The blocks of shell commands of a document."""
    return re.findall(r"```bash\n(.*?)```", path.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_file_that_a_document_names_is_there(path: Path) -> None:
    text = path.read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    in_commands = re.findall(r"\bcluster/[\w./-]*\w", "\n".join(commands(path)))
    assert all((CLUSTER / link).exists() for link in links)
    assert all((ROOT / name).exists() for name in in_commands)


def test_the_guide_names_every_file() -> None:
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    unnamed = {path for path in ALL_FILES if path.name not in text} - {CLUSTER / "README.md"}
    assert unnamed == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_the_commands_of_a_document_are_sound(path: Path) -> None:
    blocks = commands(path)
    assert blocks
    for block in blocks:
        assert syntax_errors(block) == "", block
        assert complaints(f"#!/usr/bin/env bash\n{block}") == "", block


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=named)
def test_a_launcher_file_and_the_guide_have_the_same_three_commands(path: Path) -> None:
    head = re.findall(r"^#   ((?:ray|ntm-ray) .*)$", path.read_text(), flags=re.MULTILINE)
    assert [line.split()[:2] for line in head] == [
        ["ray", "up"],
        ["ntm-ray", "submit"],
        ["ray", "down"],
    ]
    blocks = commands(CLUSTER / "README.md")
    assert any(all(line in block for line in head) for block in blocks)


def test_the_placeholders_of_the_files_are_those_that_the_guide_explains() -> None:
    explained = set(re.findall(r"YOUR-[A-Z]+", (CLUSTER / "README.md").read_text()))
    for path in ALL_FILES:
        used = set(re.findall(r"YOUR-[A-Z]+", without_comments(path.read_text())))
        assert used <= explained, path


def test_ray_calls_a_token_file_what_the_guide_does() -> None:
    done = subprocess.run(
        [PROGRAMS / "ray", "get-auth-token", "--help"], capture_output=True, text=True, check=True
    )
    assert "--generate" in done.stdout
    assert "~/.ray/auth_token" in done.stdout
