"""Ctrl-C while a job is followed: heard whenever it comes, and at once."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.submission.client import Running, hearing_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _hearing() -> Iterator[None]:
    with hearing_ctrl_c():
        yield


def test_what_the_tests_start_hears_ctrl_c_even_where_they_do_not(tmp_path: Path) -> None:
    program = "import signal; print(signal.getsignal(signal.SIGINT).__name__)"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as if a shell had started them with `&`
    running = Running([sys.executable, "-c", program], tmp_path, dict(os.environ))
    assert running.end() == 0
    assert running.lines == ["default_int_handler"]
