"""The Pareto front of a search: models that no other beats in loss, NPMI and TU at once."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FRONT = ("validation:total_loss", "npmi", "topic_uniqueness")
"""What the Pareto front is of: less of the first is better, and more of the others."""

Point = tuple[float, float, float]
"""The figures of `FRONT`."""


def pareto_front(points: Iterable[Point]) -> list[int]:
    """Return which points are on the front, by their numbers, in order of loss.

    One is not if another is at least as good in all three, and better in one. Takes the time of a
    sort.
    """
    known = list(points)
    order = sorted(range(len(known)), key=lambda i: (known[i][0], -known[i][1], -known[i][2], i))
    front = []
    # Of those seen so far, which all have no greater loss: NPMI rising, and TU falling with it.
    npmis: list[float] = []
    uniquenesses: list[float] = []
    seen: set[Point] = set()
    for number in order:
        point = known[number]
        _, npmi, uniqueness = point
        place = bisect_left(npmis, npmi)
        is_beaten = place < len(npmis) and uniquenesses[place] >= uniqueness
        if is_beaten and point not in seen:
            continue
        front.append(number)
        if is_beaten:
            continue  # the same as another on the front
        seen.add(point)
        end = place + (place < len(npmis) and npmis[place] == npmi)
        begin = place
        while begin > 0 and uniquenesses[begin - 1] <= uniqueness:
            begin -= 1
        npmis[begin:end] = [npmi]
        uniquenesses[begin:end] = [uniqueness]
    return front
