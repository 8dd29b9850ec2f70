"""The numbers that say which words are dropped; see :mod:`ntm_ray.model.dropout`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntm_ray.model.cpu.arithmetic import inner
from ntm_ray.model.dropout import FACTOR, FIRST, SECOND

_FACTOR, _FIRST, _SECOND = (np.uint32(x) for x in (FACTOR, FIRST, SECOND))


@inner
def uniform(word: Any, seed: Any) -> Any:
    """Return a number from 0 to below 1 of a word and a document's seed, both of 32 bits."""
    x = np.uint32(np.uint32(np.uint32(word) * _FACTOR) ^ np.uint32(seed))
    x = np.uint32((x ^ (x >> np.uint32(16))) * _FIRST)
    x = np.uint32((x ^ (x >> np.uint32(13))) * _SECOND)
    return np.float64(np.uint32(x ^ (x >> np.uint32(16)))) / 4294967296.0
