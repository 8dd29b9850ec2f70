"""The journal: what happened in a job, one JSON object a line, in the order it happened.

It is the only record that a job is resumed from; the Parquet tables are made of it. Lines are
only ever appended, so that a process killed at any moment loses at most the line it was writing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from ntm_ray.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from ntm_ray.tuning.lease import Lease

Event = dict[str, Any]

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


class Journal:
    """An append-only file of events, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open, or create, the journal of a job and take hold of it.

        Raises:
            JobError: If another process holds it.
        """
        self.path = path
        # Unbuffered: what a full disk has refused must not be tried again when the file is closed.
        self._file = path.open("a+b", buffering=0)
        self._lease: Lease | None = None
        try:
            self._take_hold()
        except BaseException:
            self._file.close()
            raise

    def read(self) -> list[Event]:
        """Return all events so far, and cut off a last line that was not written to its end.

        Raises:
            JobError: If a line is not what this class writes; names it.
        """
        self._file.seek(0)
        content = self._file.read()
        complete = content[: content.rfind(b"\n") + 1]
        if len(complete) < len(content):
            self._file.truncate(len(complete))
        events: list[Event] = []
        for number, line in enumerate(complete.splitlines(), start=1):
            try:
                event = json.loads(line)
                event["event"]
            except (ValueError, KeyError, TypeError):
                raise JobError(
                    f"{self.path}, line {number}: not an event of a job; "
                    "remove the line to resume without it"
                ) from None
            events.append(event)
        return events

    @staticmethod
    def _line(event: Event) -> bytes:
        return json.dumps(event, allow_nan=False, separators=(",", ":")).encode() + b"\n"

    def append(self, event: Event) -> None:
        """Write an event, and hand it to the operating system before returning.

        Raises:
            OSError: If it cannot be written, as on a full disk; no part of it is left behind.
        """
        if self._lease is not None:
            self._lease.check()
        line = self._line(event)
        end = self._file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError:
            self._file.truncate(end)
            raise

    def sync(self) -> None:
        """Have the disk keep what is written, so that it outlives the machine's power.

        Raises:
            OSError: If it cannot.
        """
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the journal."""
        self._file.close()
        if self._lease is not None:
            self._lease.release()

    def _take_hold(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JobError(
                f"{self.path.parent}: another process is working on this job; wait for it to end"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            # Some network file systems have none: a small file stands for it.
            from ntm_ray.tuning.lease import Lease
            from ntm_ray.tuning.storage import Place

            self._lease = Lease(Place.at(self.path.parent))
            self._lease.acquire()


def replay(events: Iterable[Event], steps: Mapping[str, Callable[[Event], object]]) -> None:
    """Take the step of each event in turn; those of a kind that has none are passed over.

    Raises:
        JobError: If an event cannot be one of this job.
    """
    for number, event in enumerate(events, start=1):
        if step := steps.get(event["event"]):
            try:
                step(event)
            except (KeyError, IndexError, TypeError, ValueError):
                raise JobError(
                    f"event {number} of the journal, {event['event']!r} of trial "
                    f"{event.get('trial')!r}, does not belong to this job; put job.yaml back "
                    "as it was"
                ) from None


def report_event(
    trial: str,
    rows: list[dict[str, Any]],
    stop_reason: str | None,
    saved_epoch: int | None,
    **more: Any,
) -> Event:
    """What the journal says of a report; of what there is besides, that which is not None."""
    event: Event = {"event": "report", "trial": trial, "epochs": rows}
    event |= {"stop_reason": stop_reason, "saved_epoch": saved_epoch}
    return event | {name: value for name, value in more.items() if value is not None}
