"""Following a job's log: each line once, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
import shlex
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from ntm_ray.errors import ClusterError
from ntm_ray.submission.cluster import LostConnectionError, UnknownJobError
from ntm_ray.submission.jobs import RESULT_MARK, result_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ntm_ray.submission.cluster import Cluster
    from ntm_ray.submission.jobs import SubmittedJob

_T = TypeVar("_T")

QUIET_SECONDS = 15.0
"""After so long without a word, the job is asked after: a connection can die without a sign."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
_GIVE_UP_SECONDS = 900.0
# What Ray itself writes into a job's log.
_FROM_RAY = re.compile(r"Running entrypoint for job |\S+ \S+\s+INFO job_manager\.py:")


class Log:
    """What is known of a job's log. Ray sends it from its beginning at each connection.

    Args:
        show: Told each line for people, once and in order, without its line end.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._begun = ""
        self._marked: list[str] = []
        self.characters = 0

    def take(self, text: str, at: int) -> int:
        """Take the part of the log that begins at a character; returns where it ends."""
        end = at + len(text)
        if end > self.characters:
            *lines, self._begun = (self._begun + text[max(0, self.characters - at) :]).split("\n")
            self.characters = end
            for line in lines:
                self._hand_on(line)
        return end

    def close(self) -> None:
        """Show a last line that has no end."""
        if self._begun:
            self._hand_on(self._begun)
            self._begun = ""

    @property
    def result(self) -> dict[str, Any] | None:
        """What the job came to, once it has said so."""
        return result_in("\n".join(self._marked))

    def _hand_on(self, line: str) -> None:
        if line.startswith(RESULT_MARK):
            self._marked.append(line)
        elif not _FROM_RAY.match(line):
            self._show(line)


def follow(
    cluster: Cluster, job: SubmittedJob, log: Log, say: Callable[[str], None]
) -> SubmittedJob:
    """Show a job's log until the job has ended.

    Args:
        cluster: Where it runs.
        job: The job.
        log: Takes in what comes.
        say: Told, once a loss, that the connection was lost.

    Returns:
        The job as it ended.

    Raises:
        ClusterError: If the cluster no longer knows the job, or did not answer for a quarter of
            an hour.
        KeyboardInterrupt: At Ctrl-C; the job goes on.
    """
    # One event loop for all of it: at Ctrl-C it cancels, whatever runs at that moment. Python by
    # itself raises KeyboardInterrupt there, and drops it if a finalizer runs, of which each
    # request has some.
    return asyncio.run(_follow(cluster, job, log, say))


async def _follow(
    cluster: Cluster, job: SubmittedJob, log: Log, say: Callable[[str], None]
) -> SubmittedJob:
    lost_since: float | None = None
    wait = _FIRST_WAIT
    while True:
        before = log.characters
        if lost_since is None:
            await _read(cluster, job.id, log)
        try:
            now, rest = await _beside(lambda: _asked_after(cluster, job.id))
        except UnknownJobError:
            folder = shlex.quote(job.folder)  # a shell would make another home of its ~
            raise ClusterError(
                f"{cluster.url}: no longer knows {job.id}; its head was probably started anew, "
                f"and the job was cut off. Go on with: ntm-ray resume {folder} --address "
                f"{cluster.url}"
            ) from None
        except (LostConnectionError, ClusterError):
            if lost_since is None:
                lost_since = time.monotonic()
                say("Connection lost; trying again. The job goes on without it.")
            if time.monotonic() - lost_since > _GIVE_UP_SECONDS:
                raise ClusterError(
                    f"{cluster.url}: no answer for {_GIVE_UP_SECONDS / 60:.0f} min; if the job "
                    f"goes on, so does: ntm-ray logs {job.id} --follow --address {cluster.url}"
                ) from None
        else:
            if lost_since is not None:
                say("Connected again.")
            lost_since = None
            if now.has_ended:
                log.take(rest, 0)
                log.close()
                return now
        wait = _FIRST_WAIT if log.characters > before else min(2 * wait, _LONGEST_WAIT)
        await asyncio.sleep(wait)


async def _read(cluster: Cluster, job_id: str, log: Log) -> None:
    """Read over one connection, until it ends, is lost, or has missed something."""
    import aiohttp

    at = 0
    lines = cluster.tail(job_id)
    coming: asyncio.Task[str] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(lines))
            done, _ = await asyncio.wait({coming}, timeout=QUIET_SECONDS)
            if done:
                try:
                    text = coming.result()
                except (StopAsyncIteration, aiohttp.ClientError, RuntimeError, OSError):
                    return  # why it has ended, the next question to the cluster will show
                coming = None
                at = log.take(text, at)
            elif await _beside(lambda: _has_missed(cluster, job_id, log)):
                return
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await lines.aclose()


def _has_missed(cluster: Cluster, job_id: str, log: Log) -> bool:
    """Whether a connection that is quiet has nothing to say because it is none any more."""
    try:
        return cluster.job(job_id).has_ended or len(cluster.log(job_id)) > log.characters
    except ClusterError:
        return True


def _asked_after(cluster: Cluster, job_id: str) -> tuple[SubmittedJob, str]:
    """A job as it is now, and all of its log if it has ended."""
    now = cluster.job(job_id)
    return now, cluster.log(job_id) if now.has_ended else ""


async def _beside(question: Callable[[], _T]) -> _T:
    """Ask in a thread of its own: for those of asyncio's pool, Ctrl-C waits until they end."""
    answer: concurrent.futures.Future[_T] = concurrent.futures.Future()
    answer.set_running_or_notify_cancel()

    def ask() -> None:
        try:
            answer.set_result(question())
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            answer.set_exception(error)

    threading.Thread(target=ask, name="question", daemon=True).start()
    return await asyncio.wrap_future(answer)
