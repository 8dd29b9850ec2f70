"""Every shell command that `cluster/` ships: scripts, commands in YAML files, and images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster_files.shipped import (
    CLUSTER,
    DOCKERFILES,
    LAUNCHER_FILES,
    RAY_FILES,
    SHELL_FILES,
    documents,
    launcher,
    launcher_commands,
    named,
)

PROGRAMS = Path(sys.executable).parent


def syntax_errors(text: str) -> str:
    """What bash itself finds wrong."""
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return done.stderr


def complaints(text: str) -> str:
    """What shellcheck finds wrong, down to matters of style."""
    done = subprocess.run(
        [PROGRAMS / "shellcheck", "--shell=bash", "--format=gcc", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def lint(path: Path) -> str:
    """What hadolint finds wrong with a Dockerfile, and shellcheck with its RUN commands."""
    done = subprocess.run(
        [PROGRAMS / "hadolint", path], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("path", SHELL_FILES, ids=named)
def test_scripts_are_sound(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert path.stat().st_mode & 0o111
    assert syntax_errors(text) == ""
    assert complaints(text) == ""
    assert "set -euo pipefail" in text


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=named)
def test_commands_of_a_launcher_file_are_sound(path: Path) -> None:
    commands = launcher_commands(launcher(path))
    assert len(commands) > 8
    for command in commands:
        # The launcher writes this one in front of each command.
        text = f"#!/usr/bin/env bash\nexport RAY_HEAD_IP=192.0.2.1\n{command}\n"
        if "echo 'export PATH=$HOME" in text:
            text = text.replace("grep -q", "# shellcheck disable=SC2016 # for later\ngrep -q")
        assert syntax_errors(text) == "", command
        assert complaints(text) == "", command


@pytest.mark.parametrize("path", RAY_FILES, ids=named)
def test_the_entrypoint_is_one_command_that_no_shell_changes(path: Path) -> None:
    # Two shells read it, that of the pod that submits and that of the head.
    (content,) = documents(path)
    entrypoint = content["spec"].get("entrypoint", "")
    assert set(entrypoint) <= set("abcdefghijklmnopqrstuvwxyz- ")
    if entrypoint:
        program = entrypoint.split()[0]
        assert (CLUSTER / f"{program}.sh").exists()
        for dockerfile in DOCKERFILES:
            assert f"cluster/{program}.sh /usr/local/bin/{program}" in dockerfile.read_text()


@pytest.mark.parametrize("path", DOCKERFILES, ids=named)
def test_dockerfiles_are_sound(path: Path) -> None:
    assert lint(path) == ""


def test_what_is_unsound_is_found(tmp_path: Path) -> None:
    assert syntax_errors("if true; then\n")
    assert "SC2086" in complaints("#!/usr/bin/env bash\nrm $1\n")
    text = DOCKERFILES[0].read_text()
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(text.replace("python:3.11-slim-bookworm", "python"))
    assert "DL3006" in lint(dockerfile)
    dockerfile.write_text(text.replace("apt-get install --yes", "apt-get install"))
    assert "DL3014" in lint(dockerfile)
