"""How much of the processor something takes, whatever else the machine is doing."""

from __future__ import annotations

import gc
import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = 7


def median_seconds(action: Callable[[], object]) -> float:
    """Do something a few times; the median of this process's CPU seconds, the first left out."""
    action()  # what is imported or compiled on first use
    gc.collect()
    seconds = []
    for _ in range(TIMES):
        begun = time.process_time()
        action()
        seconds.append(time.process_time() - begun)
    return statistics.median(seconds)
