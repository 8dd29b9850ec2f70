"""How many topics: what is said of curves whose lowest point is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntm_ray.tuning.topic_curve import draw_curves
from ntm_ray.tuning.topic_numbers import (
    LEAST_NUMBERS,
    MOST_ROWS,
    Interval,
    TopicNumbers,
    TopicTrial,
    Verdict,
    topic_numbers,
)

EVENLY = np.unique(np.geomspace(2, 60, 24).round().astype(int)).tolist()


def valley(lowest: float, topics: float) -> float:
    """Falls up to a number of topics, and rises slowly beyond, as the bound does."""
    distance = math.log(topics / lowest)
    return 5 + (0.05 * distance if distance > 0 else -0.25 * distance)


def trials(
    lowest: float,
    numbers: list[int] = EVENLY,
    noise: float = 0.003,
    seed: int = 0,
    used: int | None = None,
) -> list[TopicTrial]:
    random = np.random.default_rng(seed)
    return [
        TopicTrial(
            topics=number,
            loss=valley(lowest, number) + noise * random.standard_normal(),
            finished=True,
            live_topics=min(number, used) if used else None,
        )
        for number in numbers
    ]


def said(of: list[TopicTrial], unigram: float | None = None) -> TopicNumbers:
    numbers = topic_numbers(of, unigram)
    assert numbers is not None
    return numbers


@pytest.mark.parametrize("lowest", [5, 10, 20, 35])
def test_the_lowest_point_of_a_valley_is_found_within_what_is_stated(lowest: int) -> None:
    held = 0
    for seed in range(10):
        numbers = said(trials(lowest, seed=seed))
        assert numbers.verdict is Verdict.FOUND
        assert numbers.topics is not None
        assert abs(math.log(numbers.topics.middle / lowest)) < 0.35
        held += numbers.topics.low <= lowest <= numbers.topics.high
    assert held >= 7  # of 10 that should hold with 90 %: fewer have a probability of 1 %


def test_less_noise_means_a_narrower_interval() -> None:
    widths = []
    for noise in (0.0005, 0.005, 0.03):
        found = [said(trials(12, noise=noise, seed=seed)).num_topics for seed in range(3)]
        widths.append(np.mean([one.width if one else math.log(60 / 2) for one in found]))
    assert widths == sorted(widths)
    assert widths[0] < 0.5 * widths[-1]


def test_where_there_is_only_noise_the_trials_cannot_tell() -> None:
    random = np.random.default_rng(0)
    unclear = []
    for _ in range(10):
        losses = 5 + 0.01 * random.standard_normal(len(EVENLY))
        of = [TopicTrial(k, loss, finished=True) for k, loss in zip(EVENLY, losses, strict=True)]
        numbers = said(of)
        if numbers.verdict is Verdict.UNCLEAR:
            unclear.append(numbers)
    assert len(unclear) >= 7  # noise may happen to look like a valley
    for numbers in unclear:
        assert numbers.topics is None
        assert numbers.num_topics is None
        assert numbers.answer.startswith("These trials cannot tell")
        assert "more trials are needed" in numbers.answer


def test_topics_that_documents_do_not_use_are_not_counted() -> None:
    numbers = said(trials(31, used=20))
    assert numbers.topics == Interval(20, 20, 20)
    assert numbers.num_topics is not None
    assert numbers.num_topics.low <= 31 <= numbers.num_topics.high
    assert "Documents use so many where the loss is least, at num_topics" in numbers.answer


def test_a_curve_that_still_falls_at_its_end_says_at_least() -> None:
    numbers = said(trials(500))
    assert numbers.verdict is Verdict.AT_LEAST
    assert numbers.answer.startswith("At least")
    assert "60, the most that were tried" in numbers.answer


def test_a_curve_that_rises_from_its_beginning_says_at_most() -> None:
    numbers = said(trials(1, numbers=[k for k in EVENLY if k >= 8], noise=0.0005))
    assert numbers.verdict is Verdict.AT_MOST
    assert "the fewest that were tried, may be too many" in numbers.answer


def test_a_valley_that_is_flat_over_most_of_what_was_tried_cannot_tell() -> None:
    random = np.random.default_rng(0)
    slowly = [
        TopicTrial(k, 7 + 0.0003 * k + 0.0003 * random.standard_normal(), True, None)
        for k in range(5, 60, 3)
    ]
    numbers = said(slowly)
    assert numbers.verdict is Verdict.UNCLEAR
    assert numbers.topics is None
    assert "the loss is the same, to 0.01 nats a word" in numbers.answer


def test_at_most_is_not_less_than_what_is_as_good() -> None:
    random = np.random.default_rng(0)
    slowly = [
        TopicTrial(k, 7 + 0.001 * k + 0.0003 * random.standard_normal(), True, None)
        for k in range(5, 60, 3)
    ]
    numbers = said(slowly)
    assert numbers.verdict is Verdict.AT_MOST
    assert numbers.as_good is not None
    assert numbers.answer.startswith(f"At most {numbers.as_good[1]} topics:")


def test_two_topics_are_an_answer_since_there_are_no_fewer_to_try() -> None:
    numbers = said(trials(2, noise=0.0005))
    assert numbers.verdict is Verdict.FOUND
    assert numbers.topics is not None
    assert numbers.topics.low == 2


def test_what_is_no_better_than_the_unigram_model_is_one_topic() -> None:
    numbers = said(trials(12), unigram=5.005)
    assert numbers.verdict is Verdict.ONE
    assert numbers.topics == Interval(1, 1, 1)
    assert said(trials(12), unigram=5.5).verdict is Verdict.FOUND


def test_trials_that_were_stopped_early_or_have_no_loss_count_for_nothing() -> None:
    finished = trials(10)
    others = [
        TopicTrial(50, 4.0, finished=False),
        TopicTrial(3, None, finished=True),
        TopicTrial(3, math.inf, finished=True),
        TopicTrial(3, math.nan, finished=True),
    ]
    alone, together = said(finished), said([*finished, *others])
    assert together.curve == alone.curve
    assert together.answer == alone.answer
    rows = {row.label: row for row in together.numbers}
    assert sum(row.trials - row.counted for row in together.numbers) == len(others)
    assert rows["3"].trials == rows["3"].counted + 3


def test_too_few_trials_or_numbers_have_no_curve_and_no_answer() -> None:
    for numbers in ([2, 5, 9, 20, 50], [5] * 20 + [10] * 20 + [20]):
        few = said(trials(10, numbers=numbers))
        assert few.verdict is Verdict.UNCLEAR
        assert few.curve == ()
        assert few.topics is None
        assert all(row.probability is None for row in few.numbers)
    assert said(trials(10, numbers=[2, 5, 9, 20, 50, 60])).curve


def test_nothing_is_said_where_all_trials_have_the_same_number() -> None:
    assert topic_numbers(trials(10, numbers=[20] * 30)) is None
    assert topic_numbers([]) is None


def test_the_loss_is_equal_in_a_flat_valley_and_the_answer_names_its_ends() -> None:
    of = [
        TopicTrial(k, 5 + max(0.0, 0.2 * (abs(math.log(k / 20)) - 0.5)), finished=True)
        for k in EVENLY
    ]
    good = said(of).as_good
    assert good is not None
    assert f"From num_topics {good[0]} to {good[1]} the loss is within 0.01" in said(of).answer
    assert good[0] == pytest.approx(20 / math.exp(0.5), rel=0.15)
    assert good[1] == pytest.approx(20 * math.exp(0.5), rel=0.15)


def test_there_are_few_rows_whatever_was_tried_and_labels_say_what_is_in_them() -> None:
    numbers = said(trials(30, numbers=list(range(2, 400, 3))))
    assert len(numbers.numbers) <= MOST_ROWS
    assert numbers.numbers[0].least == 2
    assert numbers.numbers[-1].most == 398
    assert "-" in numbers.numbers[-1].label
    assert said(trials(10)).numbers[0].label == "2"


def test_it_survives_json() -> None:
    for numbers in (said(trials(10, used=9)), said(trials(10, numbers=[2, 5])), said(trials(500))):
        text = json.dumps(numbers.to_json_dict(), allow_nan=False)
        assert TopicNumbers.from_json_dict(json.loads(text)) == numbers


losses = st.lists(st.tuples(st.integers(2, 150), st.floats(4, 9)), min_size=6, max_size=30).filter(
    lambda some: len({topics for topics, _ in some}) >= LEAST_NUMBERS
)


@settings(max_examples=15, deadline=None)
@given(some=losses)
def test_whatever_the_losses_probabilities_add_up_and_intervals_hold_their_middle(
    some: list[tuple[int, float]],
) -> None:
    numbers = said([TopicTrial(topics, loss, finished=True) for topics, loss in some])
    shares = [row.probability for row in numbers.numbers]
    assert sum(share or 0 for share in shares) == pytest.approx(1)
    assert sum(row.trials for row in numbers.numbers) == len(some)
    tried = [topics for topics, _ in some]
    assert (numbers.curve[0].topics, numbers.curve[-1].topics) == (min(tried), max(tried))
    for point in numbers.curve:
        assert point.low <= point.high
    for held in (numbers.topics, numbers.num_topics):
        if held is not None:
            assert min(tried) <= held.low <= held.middle <= held.high <= max(tried)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), order=st.randoms(use_true_random=False), shift=st.floats(-3, 3))
def test_neither_the_order_of_trials_nor_a_constant_in_the_loss_changes_the_answer(
    seed: int, order: object, shift: float
) -> None:
    of = trials(10, seed=seed)
    shifted = [TopicTrial(t.topics, (t.loss or 0) + shift, finished=True) for t in of]
    order.shuffle(shifted)  # type: ignore[attr-defined]
    one, other = said(of).num_topics, said(shifted).num_topics
    assert one is not None
    assert other is not None
    # The same draws meet other roundings.
    assert abs(math.log(one.middle / other.middle)) < 0.1


def test_the_band_is_narrow_where_there_are_points_and_wide_between_them() -> None:
    x = np.log([2.0, 3, 4, 5, 6, 40, 50, 60])
    places = np.log([4.0, 15, 50])
    drawn = draw_curves(x, np.sin(x), places, np.random.default_rng(0))
    spread = drawn.std(axis=0)
    assert spread[1] > 3 * max(spread[0], spread[2])
    np.testing.assert_allclose(drawn.mean(axis=0)[[0, 2]], np.sin(places[[0, 2]]), atol=0.02)
