"""How many topics? What the trials of a search say about `num_topics`, with its uncertainty.

The loss is a bound that pays for every topic a document must be told apart from (docs/
how_many_topics.md), so it falls up to the number of topics that a corpus has, and rises slowly
beyond. A Gaussian process over the logarithm of the number of topics is that curve; curves drawn
from its posterior say how probable it is that each number has the least loss.

The probability of being the minimum by drawing whole curves: Hennig and Schuler, "Entropy Search
for Information-Efficient Global Optimization" (2012).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.tuning.topic_curve import draw_curves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EQUAL_LOSSES = 0.01
"""Nats a word; losses that differ by less are equal, as they are to ASHA."""

LEAST_TRIALS = 6
LEAST_NUMBERS = 4
"""Different numbers of topics; three points would fit any curve with one bend."""

MOST_ROWS = 12
_LEVEL = 0.9
# An interval from some number to over four times as many says nothing; nor does one over most of
# what was tried, on the scale of logarithms.
_TELLS_NOTHING = math.log(4)
_MOST_OF_IT = 0.6
_NEARLY_ALL = 0.9
_INTERVALS = ("topics", "num_topics")
_MOST_PLACES = 120


class Verdict(StrEnum):
    """What kind of answer the trials allow."""

    FOUND = "found"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    ONE = "one"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class TopicTrial:
    """What of a trial is looked at.

    Attributes:
        topics: Its `num_topics`.
        loss: Its least `validation:total_loss`, nats a word; None: it has none.
        finished: Whether it trained to its end. One that was stopped early counts for nothing:
            more topics train more slowly, so losses of unequal trainings would favour few.
        live_topics: How many of its topics documents use; None: not known.
    """

    topics: int
    loss: float | None
    finished: bool
    live_topics: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it says something about the curve."""
        return self.finished and self.loss is not None and math.isfinite(self.loss)


@dataclass(frozen=True)
class CurvePoint:
    """The curve at one number of topics, nats a word; 90 % of the posterior within the bounds."""

    topics: int
    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class TopicNumber:
    """A number of topics that was tried, or a few that lie close together.

    Attributes:
        least: The least of the numbers.
        most: The greatest of them.
        trials: How many trials had one of them.
        counted: How many of these trained to their end.
        loss: The curve, nats a word, at its lowest among them; None where there is no curve.
        low: 5 % of the posterior lie below.
        high: 5 % lie above.
        probability: That the right number is one of them, or between them and half of the way to
            the neighbours.
        live_topics: The median, over the trials that count, of topics that documents use.
    """

    least: int
    most: int
    trials: int
    counted: int
    loss: float | None
    low: float | None
    high: float | None
    probability: float | None
    live_topics: float | None

    @property
    def label(self) -> str:
        """As people write it: `12`, `13-15`."""
        return str(self.least) if self.least == self.most else f"{self.least}-{self.most}"


@dataclass(frozen=True)
class Interval:
    """What is known of a number: the median of its posterior, and the middle 90 % of it."""

    middle: int
    low: int
    high: int

    @classmethod
    def of(cls, drawn: NDArray[np.int64]) -> Interval:
        """Sum draws up."""
        levels = (0.5, (1 - _LEVEL) / 2, (1 + _LEVEL) / 2)
        return cls(*(int(np.quantile(drawn, x, method="inverted_cdf")) for x in levels))

    @property
    def width(self) -> float:
        """Of the middle 90 %, on the scale of logarithms."""
        return math.log(self.high / self.low)


@dataclass(frozen=True)
class TopicNumbers:
    """How many topics a corpus has, as far as the trials of a search can tell.

    Attributes:
        answer: A sentence or two for people.
        verdict: What kind of answer it is.
        topics: How many topics documents use where the loss is least; None if the trials cannot
            tell.
        num_topics: The hyperparameter with which the loss is least: as many, or more where a few
            to spare help each topic to be found. None if the trials cannot tell.
        as_good: The least and the greatest `num_topics` around the lowest point of the curve whose
            loss is equal to it, to within 0.01 nats a word; None if there is no curve.
        numbers: What was tried, fewest topics first.
        curve: The fitted curve, fewest topics first; empty if there were too few trials for one.
    """

    answer: str
    verdict: Verdict
    topics: Interval | None
    num_topics: Interval | None
    as_good: tuple[int, int] | None
    numbers: tuple[TopicNumber, ...]
    curve: tuple[CurvePoint, ...]

    def to_json_dict(self) -> dict[str, Any]:
        """What `result.json` says of it, under `topic_numbers`."""
        return asdict(self) | {"verdict": str(self.verdict)}

    @classmethod
    def from_json_dict(cls, said: dict[str, Any]) -> TopicNumbers:
        """Read what `to_json_dict` says."""
        intervals = {name: said[name] and Interval(**said[name]) for name in _INTERVALS}
        lists = {
            "as_good": said["as_good"] and tuple(said["as_good"]),
            "numbers": tuple(TopicNumber(**row) for row in said["numbers"]),
            "curve": tuple(CurvePoint(**point) for point in said["curve"]),
        }
        return cls(**(said | intervals | lists | {"verdict": Verdict(said["verdict"])}))


def topic_numbers(
    trials: Sequence[TopicTrial], unigram: float | None = None
) -> TopicNumbers | None:
    """Say how many topics the trials speak for.

    Args:
        trials: All trials of a search.
        unigram: The loss of the unigram model on the same documents, nats a word: that of a
            single topic.

    Returns:
        None if all trials have the same number of topics: nothing was asked.
    """
    if len({trial.topics for trial in trials}) < 2:
        return None
    counted = [trial for trial in trials if trial.counts]
    groups = _groups(sorted({trial.topics for trial in trials}))
    different = len({trial.topics for trial in counted})
    if len(counted) < LEAST_TRIALS or different < LEAST_NUMBERS:
        answer = (
            f"These trials cannot tell: {len(counted)} of {len(trials)} trained to their end, "
            f"with {different} different numbers of topics; more trials are needed, and none of "
            "them stopped early (--scheduler none)."
        )
        numbers = tuple(_row(group, trials, None, None) for group in groups)
        return TopicNumbers(answer, Verdict.UNCLEAR, None, None, None, numbers, ())
    posterior = _Posterior.of(counted)
    numbers = tuple(
        _row(group, trials, posterior, span)
        for group, span in zip(groups, _spans(groups), strict=True)
    )
    return _answered(posterior, numbers, unigram)


# The answer


def _answered(
    posterior: _Posterior, numbers: tuple[TopicNumber, ...], unigram: float | None
) -> TopicNumbers:
    mean, places = posterior.mean, posterior.places
    least, most = int(places[0]), int(places[-1])
    setting = Interval.of(posterior.best)
    found = Interval.of(posterior.used)
    kept: Interval | None = found
    as_good = posterior.as_good()
    all_of_it = _MOST_OF_IT * math.log(most / least)
    if unigram is not None and mean.min() > unigram - EQUAL_LOSSES:
        verdict, kept = Verdict.ONE, Interval(1, 1, 1)
        answer = (
            "One topic: no number of topics is better than the unigram model by "
            f"{EQUAL_LOSSES} nats a word."
        )
    elif found.width > min(_TELLS_NOTHING, all_of_it):
        verdict, kept = Verdict.UNCLEAR, None
        answer = (
            f"These trials cannot tell: 90 % between {found.low} and {found.high} topics, with "
            f"{least} to {most} tried; more trials are needed."
        )
    elif math.log(as_good[1] / as_good[0]) > all_of_it:
        verdict, kept = Verdict.UNCLEAR, None
        answer = (
            f"These trials cannot tell: from num_topics {as_good[0]} to {as_good[1]} the loss is "
            f"the same, to {EQUAL_LOSSES} nats a word; choose by what you want to read."
        )
    elif setting.high == most and found.high > _NEARLY_ALL * most:
        verdict = Verdict.AT_LEAST
        answer = f"At least {found.low} topics: {most}, the most that were tried, may be too few."
    elif setting.low == least > 2:
        verdict = Verdict.AT_MOST
        few = max(found.high, as_good[1])
        answer = f"At most {few} topics: {least}, the fewest that were tried, may be too many."
    else:
        verdict = Verdict.FOUND
        answer = f"About {found.middle} topics: 90 % between {found.low} and {found.high}."
        if found.low == found.high:
            plural = "s" * (found.middle != 1)
            answer = f"{found.middle} topic{plural}, with more than 90 %."
        if found.middle < setting.middle:
            answer += (
                f" Documents use so many where the loss is least, at num_topics "
                f"{setting.middle} ({setting.low} to {setting.high})."
            )
    known = verdict not in (Verdict.ONE, Verdict.UNCLEAR)
    if known and as_good[0] < as_good[1]:
        answer += (
            f" From num_topics {as_good[0]} to {as_good[1]} the loss is within {EQUAL_LOSSES} "
            "nats a word of the least."
        )
    return TopicNumbers(
        answer=answer,
        verdict=verdict,
        topics=kept,
        num_topics=setting if known else None,
        as_good=as_good,
        numbers=numbers,
        curve=posterior.curve(),
    )


def _row(
    group: tuple[int, ...],
    trials: Sequence[TopicTrial],
    posterior: _Posterior | None,
    span: tuple[float, float] | None,
) -> TopicNumber:
    of_group = [trial for trial in trials if trial.topics in group]
    counted = [trial for trial in of_group if trial.counts]
    live = [trial.live_topics for trial in counted if trial.live_topics is not None]
    loss = low = high = probability = None
    if posterior is not None and span is not None:
        within = (posterior.places >= group[0]) & (posterior.places <= group[-1])
        probability = float(((posterior.best > span[0]) & (posterior.best <= span[1])).mean())
        if within.any():
            at = np.flatnonzero(within)[posterior.mean[within].argmin()]
            loss, low, high = (
                float(x[at]) for x in (posterior.mean, posterior.low, posterior.high)
            )
    return TopicNumber(
        least=group[0],
        most=group[-1],
        trials=len(of_group),
        counted=len(counted),
        loss=loss,
        low=low,
        high=high,
        probability=probability,
        live_topics=float(np.median(live)) if live else None,
    )


def _groups(tried: list[int]) -> list[tuple[int, ...]]:
    """Put numbers of topics together, by a scale of logarithms, until there are few rows."""
    if len(tried) <= MOST_ROWS:
        return [(number,) for number in tried]
    edges = np.geomspace(tried[0], tried[-1] * (1 + 1e-9), MOST_ROWS + 1)
    of = np.searchsorted(edges, tried, side="right")
    groups = [
        tuple(n for n, o in zip(tried, of, strict=True) if o == row) for row in np.unique(of)
    ]
    return [group for group in groups if group]


def _spans(groups: list[tuple[int, ...]]) -> list[tuple[float, float]]:
    """The numbers of topics that each group stands for: half of the way to its neighbours."""
    between = [math.sqrt(one[-1] * other[0]) for one, other in pairwise(groups)]
    return list(pairwise([0.0, *between, math.inf]))


# The curve


@dataclass(frozen=True)
class _Posterior:
    """Curves drawn from the posterior.

    Attributes:
        places: Numbers of topics, `(places,)`, from the fewest to the most that were tried.
        mean: The mean of the curve, `(places,)`.
        low: 5 % of the curves lie below, `(places,)`.
        high: 5 % of them lie above, `(places,)`.
        best: The place where each curve that was drawn is lowest, `(draws,)`.
        used: How many topics documents use there, `(draws,)`.
    """

    places: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    best: NDArray[np.int64]
    used: NDArray[np.int64]

    @classmethod
    def of(cls, trials: Sequence[TopicTrial]) -> _Posterior:
        topics = np.array([trial.topics for trial in trials])
        places = np.arange(topics.min(), topics.max() + 1)
        if len(places) > _MOST_PLACES:
            spaced = np.geomspace(places[0], places[-1], _MOST_PLACES).round().astype(np.int64)
            places = np.union1d(spaced, topics)
        random = np.random.default_rng(0)  # the same answer for the same trials
        losses = np.array([trial.loss for trial in trials], dtype=np.float64)
        curves = draw_curves(np.log(topics), losses, np.log(places), random)
        lowest = curves.argmin(axis=1)
        best = used = places[lowest]
        seen = [(t.topics, t.live_topics) for t in trials if t.live_topics is not None]
        if seen:
            topics, live = np.array(seen, dtype=np.float64).T
            parts = np.log(np.maximum(live, 1) / topics)
            part = draw_curves(np.log(topics), parts, np.log(places), random)
            at_lowest = np.exp(part[np.arange(len(best)), lowest])
            used = np.clip((best * at_lowest).round(), 1, best).astype(np.int64)
        low, high = np.quantile(curves, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
        return cls(places, curves.mean(axis=0), low, high, best, used)

    def as_good(self) -> tuple[int, int]:
        """The ends of the valley: numbers around the lowest whose losses are equal to it."""
        lowest = int(self.mean.argmin())
        apart = np.flatnonzero(self.mean > self.mean[lowest] + EQUAL_LOSSES)
        before = apart[apart < lowest].max(initial=-1) + 1
        after = apart[apart > lowest].min(initial=len(self.mean)) - 1
        return int(self.places[before]), int(self.places[after])

    def curve(self) -> tuple[CurvePoint, ...]:
        columns = zip(self.places, self.mean, self.low, self.high, strict=True)
        return tuple(CurvePoint(int(at), *map(float, losses)) for at, *losses in columns)
