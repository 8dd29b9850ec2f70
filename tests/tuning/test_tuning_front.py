"""The Pareto front, beside the definition taken literally."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ntm_ray.tuning.front import Point, pareto_front

# Few values, so that ties are common.
FIGURES = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4])
POINTS = st.lists(st.tuples(FIGURES, FIGURES, FIGURES), max_size=40)


def beats(one: Point, other: Point) -> bool:
    at_least = one[0] <= other[0] and one[1] >= other[1] and one[2] >= other[2]
    return at_least and one != other


@given(POINTS)
def test_the_front_is_those_that_no_other_beats(points: list[Point]) -> None:
    expected = {
        number
        for number, point in enumerate(points)
        if not any(beats(other, point) for other in points)
    }
    found = pareto_front(points)
    assert len(found) == len(set(found))
    assert set(found) == expected


@given(POINTS)
def test_the_front_is_in_order_of_loss(points: list[Point]) -> None:
    losses = [points[number][0] for number in pareto_front(points)]
    assert losses == sorted(losses)
