"""The journal of a job in an object store: a few objects that only ever grow by whole lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ntm_ray.errors import JobError

if TYPE_CHECKING:
    from ntm_ray.tuning.storage import Place

# A segment is written anew with each addition until it is this large: a large one costs time at
# each, and many small ones cost whoever reads them a request each.
SEGMENT_BYTES = 1 << 17
_NAME = re.compile(r"(\d{12})\.jsonl")


class Segments:
    """Appends to a journal whose segments lie in a place, named by where in it they begin.

    An object is replaced at once, so that a reader sees a journal that was, line for line, whole.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._begin = 0
        self._last = b""

    @property
    def length(self) -> int:
        """How many bytes of the journal are in the place, as far as is known here."""
        return self._begin + len(self._last)

    def read(self) -> bytes:
        """Read the whole journal; what is appended next comes after it.

        Raises:
            JobError: A segment is missing.
        """
        begins = [int(found[1]) for n in self._place.names() if (found := _NAME.fullmatch(n))]
        content = []
        self._begin, self._last = 0, b""
        for begin in sorted(begins):
            if begin != self.length:
                raise JobError(
                    f"{self._place}: the journal has {self.length} bytes before the segment "
                    f"{_name(begin)}; put the missing segment back, or remove those after the gap"
                )
            self._begin, self._last = begin, self._place.read_bytes(_name(begin))
            content.append(self._last)
        return b"".join(content)

    def append(self, lines: bytes) -> None:
        """Write whole lines after those that are there."""
        begin, segment = self._begin, self._last + lines
        if len(self._last) >= SEGMENT_BYTES:
            begin, segment = self.length, lines
        self._place.write_bytes(_name(begin), segment)
        self._begin, self._last = begin, segment


def _name(begin: int) -> str:
    return f"{begin:012d}.jsonl"
