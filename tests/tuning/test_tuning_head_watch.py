"""What happens to a driver whose cluster's head is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WATCHED = """
import socket, sys, time
from ntm_ray.tuning import head_watch
head_watch.PATIENCE_SECONDS, head_watch._EVERY_SECONDS = float(sys.argv[1]), 0.05
server = socket.create_server(("127.0.0.1", 0))
address = f"127.0.0.1:{server.getsockname()[1]}"
said = []
with head_watch.watching_head(address, said.append, "go on by resuming"):
    time.sleep(0.5)
    assert not said, said
    port = server.getsockname()[1]
    server.close()
    time.sleep(1)
    server = socket.create_server(("127.0.0.1", port))
    time.sleep(0.5)
print(said)
"""


def run(patience: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WATCHED, str(patience)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_head_that_stays_away_ends_the_process_with_one_line() -> None:
    ended = run(patience=0.3)
    assert ended.returncode == 75
    (line,) = ended.stderr.splitlines()
    assert line.startswith("ntm-ray: the head of the cluster, 127.0.0.1:")
    assert line.endswith("go on by resuming")


def test_a_head_that_is_back_in_time_ends_nothing_and_both_are_said_once() -> None:
    ended = run(patience=60)
    assert ended.returncode == 0, ended.stderr
    assert "does not answer', None]" in ended.stdout


KILLED = """
import os
from ntm_ray.tuning import head_watch
with head_watch.watching_head("127.0.0.1:6379", print, "go on by resuming"):
    os._exit(1)  # as Ray's C++ does
"""


def test_a_process_that_is_ended_without_a_word_has_one_said_for_it() -> None:
    command = [sys.executable, "-c", KILLED]
    ended = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("ntm-ray: ended without a word")
    assert line.endswith("go on by resuming")
