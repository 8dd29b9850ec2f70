"""Following a job: Ctrl-C is heard whenever it comes, and a reader that has gone ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, cast

import pytest

from ntm_ray.submission.follow import Log, follow
from ntm_ray.submission.jobs import Kind, SubmittedJob
from tests.submission.client import Running, hearing_ctrl_c

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

ENDED = SubmittedJob(
    id="job-1",
    name="job",
    folder="~/ntm-ray/job",
    kind=Kind.TUNE,
    version="1",
    status="SUCCEEDED",
    started=1.0,
)


class Cluster:
    """Answers without a network: its only job has ended, with an empty log."""

    def job(self, _: str) -> SubmittedJob:
        return ENDED

    def log(self, _: str) -> str:
        return ""

    async def tail(self, _: str) -> AsyncGenerator[str, None]:
        nothing: list[str] = []
        for line in nothing:
            yield line

    def follow(self, show: Callable[[str], None] = print) -> SubmittedJob:
        return follow(cast("Any", self), ENDED, Log(show), pytest.fail)


class QuietCluster(Cluster):
    """Its connections say nothing and do not end."""

    async def tail(self, _: str) -> AsyncGenerator[str, None]:
        await asyncio.Event().wait()
        yield ""


@pytest.fixture(autouse=True)
def _hearing() -> Iterator[None]:
    with hearing_ctrl_c():
        yield


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ntm_ray.submission.follow.QUIET_SECONDS", 0.0)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_is_not_lost_where_python_drops_what_is_raised() -> None:
    class Finalized:
        """As a pool of connections, which is gone with its request."""

    class Pressed(Cluster):
        def job(self, _: str) -> SubmittedJob:
            weakref.finalize(Finalized(), press_ctrl_c)
            return ENDED

    with pytest.raises(KeyboardInterrupt):
        Pressed().follow()


@pytest.mark.usefixtures("_impatient")
def test_ctrl_c_does_not_wait_for_a_cluster_that_does_not_answer() -> None:
    over, answered = threading.Event(), threading.Event()

    class Silent(QuietCluster):
        def job(self, _: str) -> SubmittedJob:
            press_ctrl_c()
            over.wait(20)
            answered.set()
            return ENDED

    with pytest.raises(KeyboardInterrupt):
        Silent().follow()
    assert not answered.is_set()
    over.set()


@pytest.mark.usefixtures("_impatient")
def test_a_connection_that_has_missed_something_is_closed_before_the_cluster_is_asked() -> None:
    seen: list[str] = []

    class Missing(QuietCluster):
        def job(self, _: str) -> SubmittedJob:
            seen.append("asked")
            return ENDED

        async def tail(self, _: str) -> AsyncGenerator[str, None]:
            try:
                async for line in super().tail(_):
                    yield line
            finally:
                seen.append("closed")

    assert Missing().follow() == ENDED
    assert seen == ["asked", "closed", "asked"]


def test_a_reader_that_has_gone_is_not_taken_for_a_lost_connection() -> None:
    shown: list[str] = []

    class Talking(Cluster):
        async def tail(self, _: str) -> AsyncGenerator[str, None]:
            for number in range(100):
                yield f"line {number}\n"

    def show(line: str) -> None:
        """As `print` into a pipe to `head -2`."""
        if len(shown) == 2:
            raise BrokenPipeError
        shown.append(line)

    with pytest.raises(BrokenPipeError):
        Talking().follow(show)
    assert shown == ["line 0", "line 1"]


def test_what_the_tests_start_hears_ctrl_c_even_where_they_do_not(tmp_path: Path) -> None:
    program = "import signal; print(signal.getsignal(signal.SIGINT).__name__)"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as if a shell had started them with `&`
    running = Running([sys.executable, "-c", program], tmp_path, dict(os.environ))
    assert running.end() == 0
    assert running.lines == ["default_int_handler"]
