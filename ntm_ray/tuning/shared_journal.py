"""A journal that is written here first and follows into an object store, in groups."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ntm_ray.errors import JobError, NtmRayError
from ntm_ray.tuning.journal import Event, Journal

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.tuning.lease import Lease
    from ntm_ray.tuning.segments import Segments

# What nobody waits for follows at the latest after this time.
COMMIT_SECONDS = 1.0


class SharedJournal(Journal):
    """The journal of a job in an object store.

    A thread writes what is new to the segments, all of it with one request. What is beyond them
    already, from a process that was killed, goes first.
    """

    def __init__(self, path: Path, segments: Segments, lease: Lease) -> None:
        """Open the local copy, which begins with what is in the segments.

        Raises:
            JobError: If another process holds it.
        """
        super().__init__(path)
        self._segments = segments
        self._held = lease
        self._changed = threading.Condition()
        self._new: list[bytes] = []
        self._written = self._stored = segments.length
        self._due: float | None = None
        self._error: Exception | None = None
        self._ended = False
        self.read()  # which cuts off half a line
        if beyond := path.read_bytes()[segments.length :]:
            self._add(beyond)
        self._thread = threading.Thread(target=self._follow, name="journal", daemon=True)
        self._thread.start()

    def append(self, event: Event) -> None:
        """Write an event here; it follows into the object store within a second or so.

        Raises:
            OSError: If it cannot be written here.
            JobError: If another process has taken the job over.
            StorageError: If earlier ones could not be written to the object store.
        """
        self._raise()
        super().append(event)
        self._add(self._line(event))

    def sync(self) -> None:
        """Wait until all events so far are in the object store.

        Raises:
            JobError: If another process has taken the job over.
            StorageError: If they cannot be written there.
        """
        with self._changed:
            wanted = self._written
            self._due = 0.0
            self._changed.notify_all()
            # Once closed, all that could be stored is.
            self._changed.wait_for(lambda: self._stored >= wanted or self._error is not None)
        self._raise()

    def close(self) -> None:
        """Let go of the journal; what is not in the object store yet stays in the copy here."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        super().close()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _add(self, lines: bytes) -> None:
        with self._changed:
            self._new.append(lines)
            self._written += len(lines)
            if self._due is None:
                self._due = time.monotonic() + COMMIT_SECONDS
                self._changed.notify_all()

    def _follow(self) -> None:
        while (lines := self._next_group()) is not None:
            try:
                self._held.check()
                self._segments.append(lines)
            except (NtmRayError, OSError) as error:
                is_known = isinstance(error, NtmRayError)
                with self._changed:
                    self._error = error if is_known else JobError(f"{self.path}: {error}")
                    self._changed.notify_all()
                return
            with self._changed:
                self._stored += len(lines)
                self._changed.notify_all()

    def _next_group(self) -> bytes | None:
        """Wait for lines that are due; None if there are none left."""
        with self._changed:
            while not self._ended:
                if not self._new:
                    self._due = None
                left = None if self._due is None else self._due - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            lines = b"".join(self._new)
            self._new.clear()
            self._due = None
            return lines or (None if self._ended else b"")
