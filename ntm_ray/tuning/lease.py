"""Who drives a job: a small file beside it, renewed while its driver lives.

It is for storage that has no locks. Whether a lease is stale is judged by watching it for a while,
never by comparing the clocks of two machines.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntm_ray.errors import JobError, NtmRayError

if TYPE_CHECKING:
    from ntm_ray.tuning.storage import Place

FILE = "lease.json"
BEAT_SECONDS = 10.0
STALE_SECONDS = 30.0
# Before a driver writes anything, it has seen within this time that the lease is its own.
SURE_SECONDS = 20.0
_LOOK_SECONDS = 2.0


class Lease:
    """The right to write to a job folder, for one process at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        # What the thread does it does again soon anyway.
        self._soon = place.with_patience(BEAT_SECONDS / 2)
        self._id = uuid.uuid4().hex
        self._beat = 0
        self._seen = -STALE_SECONDS
        self._lost = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the lease; one that another process has left behind is watched for 30 s first.

        Raises:
            JobError: Another process renews it.
        """
        self._wait_for_the_other()
        with self._lock:
            self._write(self._place)
        self._confirm(self._place)
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that the lease is still held; asks the storage only now and then.

        Raises:
            JobError: Another process has taken it over.
        """
        if self._lost or _now() - self._seen > SURE_SECONDS:
            self._confirm(self._place)

    def _confirm(self, place: Place) -> None:
        with self._lock:
            begun = _now()
            holder = None if self._lost else _read(place)
            if holder is None or holder.get("driver") != self._id:
                self._lost = True
                raise JobError(
                    f"{self._place}: another process has taken this job over; this one has "
                    "stopped, and has written nothing since"
                )
            self._seen = begun

    def release(self) -> None:
        """Give the lease back, if it is still held."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=BEAT_SECONDS)
        with contextlib.suppress(NtmRayError, OSError):
            self._confirm(self._soon)
            self._soon.delete_file(FILE)
        self._lost = True

    def _renew(self) -> None:
        wait = 1.0  # another may have begun in the same moment
        while not self._ended.wait(wait):
            wait = BEAT_SECONDS
            try:
                self._confirm(self._soon)
                with self._lock:
                    self._write(self._soon)
            except (NtmRayError, OSError):
                if self._lost:
                    return  # whoever writes next will hear of it

    def _write(self, place: Place) -> None:
        self._beat += 1
        content = {"driver": self._id, "beat": self._beat} | _this_process()
        place.write_bytes(FILE, json.dumps(content).encode())

    def _wait_for_the_other(self) -> None:
        first = _read(self._place)
        begun = time.monotonic()
        while first is not None and not _is_gone(first):
            if time.monotonic() - begun > STALE_SECONDS:
                return
            time.sleep(_LOOK_SECONDS)
            now = _read(self._place)
            if now is not None and now != first:
                raise JobError(
                    f"{self._place}: another process is working on this job (process "
                    f"{now.get('process')} on {now.get('host')}); wait for it to end"
                )
            first = now


def _read(place: Place) -> dict[str, Any] | None:
    try:
        content = json.loads(place.read_bytes(FILE))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _now() -> float:
    """Seconds that also pass while this machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.time()


def _this_process() -> dict[str, Any]:
    """What tells this process from all others, for whoever finds the lease."""
    pid = os.getpid()
    return {
        "host": platform.node(),
        "process": pid,
        "machine": _machine(),
        "started": _started(pid),
    }


def _is_gone(holder: dict[str, Any]) -> bool:
    """Whether the process that wrote a lease is known to be gone: only on its own machine."""
    machine = _machine()
    if machine is None or holder.get("machine") != machine:
        return False
    return _started(int(holder.get("process", 0))) != holder.get("started")


def _machine() -> str | None:
    """One boot of one machine, as one group of processes sees it; None where that is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a process began, in the clock ticks of its machine; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
