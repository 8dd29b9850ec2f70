"""Looks after the head of a cluster, which Ray's own driver does not survive.

When the head is gone, Ray blocks the driver for a minute without a word, and then ends its
process with lines of its C++. A thread says it in ours before that. Where the machine's own part
of the cluster goes too, Ray may end the process at once and without a word: a witness, a process
of its own, has the words then. The journal has all that is finished, so nothing is lost by ending
at once.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Ray gives up after 60 s; a head that keeps its state elsewhere may be back before that.
PATIENCE_SECONDS = 45.0
_EVERY_SECONDS = 2.0
_CONNECT_SECONDS = 3.0
EXIT_CODE = 75
"""The exit code of a driver whose cluster is gone: try again later, as in sysexits.h."""


# Says the line that it is given if its standard input ends before a second line comes. What is
# meant for all processes of a terminal is not for it.
_WITNESS = """trap '' INT TERM HUP
IFS= read -r words
read -r over || printf '%s\\n' "$words" >&2
"""


@contextlib.contextmanager
def watching_head(
    address: str, say: Callable[[str | None], None], farewell: str
) -> Iterator[None]:
    """End this process with one line if the head does not answer for `PATIENCE_SECONDS`.

    Args:
        address: ``host:port`` of the head.
        say: Told that the head does not answer, and None when it does again.
        farewell: What is said at the end, besides that: how to go on.
    """
    over = threading.Event()
    ended = f"ended without a word, as if the cluster of {address} were gone"
    with _witness(f"ntm-ray: {ended}; {farewell}") as silence:
        thread = threading.Thread(
            target=_watch, args=(address, say, farewell, over, silence), name="head", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextlib.contextmanager
def _witness(words: str) -> Iterator[Callable[[], None]]:
    """Have something said should this process end before the block does.

    Yields:
        Called before the process ends with other words.
    """
    witness = subprocess.Popen(["sh", "-c", _WITNESS], stdin=subprocess.PIPE, text=True)
    pipe = witness.stdin
    assert pipe is not None
    pipe.write(f"{words}\n")
    pipe.flush()

    def silence() -> None:
        with contextlib.suppress(OSError, ValueError):
            pipe.write("over\n")
            pipe.close()
        witness.wait()

    try:
        yield silence
    finally:
        silence()


def _watch(
    address: str,
    say: Callable[[str | None], None],
    farewell: str,
    over: threading.Event,
    silence: Callable[[], None],
) -> None:
    last_answer = time.monotonic()
    is_silent = False
    while not over.wait(_EVERY_SECONDS):
        if _answers(address):
            last_answer = time.monotonic()
            if is_silent:
                with contextlib.suppress(OSError):  # nobody may be listening any more
                    say(None)
            is_silent = False
            continue
        silent = time.monotonic() - last_answer
        if silent < PATIENCE_SECONDS:
            if not is_silent:
                with contextlib.suppress(OSError):
                    say(f"the head of the cluster, {address}, does not answer")
            is_silent = True
            continue
        # The main thread hangs in Ray's C++ and hears nothing.
        silence()
        gone = f"the head of the cluster, {address}, has not answered for {silent:.0f} s"
        sys.stderr.write(f"ntm-ray: {gone}; {farewell}\n")
        sys.stderr.flush()
        os._exit(EXIT_CODE)


def knock(address: str, seconds: float = _CONNECT_SECONDS) -> None:
    """See that something listens at ``host:port``.

    Raises:
        OSError: Nothing does, or not within so many seconds.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), seconds).close()


def _answers(address: str) -> bool:
    try:
        knock(address)
    except OSError:
        return False
    return True
