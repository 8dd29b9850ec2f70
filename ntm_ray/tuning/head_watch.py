"""Looks after the head of a cluster, which Ray's own driver does not survive.

When the head is gone, Ray blocks the driver for a minute without a word, and then ends its
process with lines of its C++. A thread says it in ours before that. The journal has all that is
finished, so nothing is lost by ending at once.
"""

from __future__ import annotations

import contextlib
import os
import socket
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
    thread = threading.Thread(
        target=_watch, args=(address, say, farewell, over), name="head", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(
    address: str, say: Callable[[str | None], None], farewell: str, over: threading.Event
) -> None:
    last_answer = time.monotonic()
    is_silent = False
    while not over.wait(_EVERY_SECONDS):
        if _answers(address):
            last_answer = time.monotonic()
            if is_silent:
                say(None)
            is_silent = False
            continue
        silent = time.monotonic() - last_answer
        if silent < PATIENCE_SECONDS:
            if not is_silent:
                say(f"the head of the cluster, {address}, does not answer")
            is_silent = True
            continue
        # The main thread hangs in Ray's C++ and hears nothing.
        gone = f"the head of the cluster, {address}, has not answered for {silent:.0f} s"
        sys.stderr.write(f"ntm-ray: {gone}; {farewell}\n")
        sys.stderr.flush()
        os._exit(EXIT_CODE)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
