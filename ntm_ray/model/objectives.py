"""What a search looks for: named figures of an epoch, made of its losses and its topics.

`docs/objectives.md` says what each is good for, and what it can be deceived by.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ntm_ray.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LOSS = "validation:total_loss"
_COLLAPSED = 0.15
"""Topics are as good as the same where topic uniqueness has come no further than this part of the
way from `1 / topics`, all the same, to 1, all different."""


@dataclass(frozen=True)
class Objective:
    """One figure that epochs, and so trials, are compared by.

    Attributes:
        name: What a job calls it.
        is_maximized: Whether more of it is better.
        summary: One line on what it is.
        formula: How it is made of losses and measures, in a line.
        uses_topics: Whether the topics of an epoch must be looked at.
        uses_completion: Whether halves of documents must be, too.
        digits: How many places behind the point tell trials apart.
    """

    name: str
    is_maximized: bool
    summary: str
    formula: str
    uses_topics: bool
    digits: int
    _of: Callable[[Mapping[str, float], int], float]
    uses_completion: bool = False

    @property
    def direction(self) -> str:
        """`maximize` or `minimize`."""
        return "maximize" if self.is_maximized else "minimize"

    def value(self, figures: Mapping[str, float | None], num_topics: int) -> float:
        """Return the objective of an epoch.

        Args:
            figures: Its losses and measures by name.
            num_topics: How many topics the model has.

        Returns:
            NaN if a figure that it needs is missing or not finite.
        """
        finite = {n: f for n, f in figures.items() if f is not None and math.isfinite(f)}
        try:
            return self._of(finite, num_topics)
        except KeyError:
            return math.nan

    def score(self, value: float | None) -> float:
        """Return a value as that of which less is better; infinite for none, or NaN."""
        if value is None or not math.isfinite(value):
            return math.inf
        return -value if self.is_maximized else value

    def of_score(self, score: float) -> float | None:
        """Return the value whose score this is; None for an infinite one."""
        if not math.isfinite(score):
            return None
        return -score if self.is_maximized else score

    def words(self, value: float | None) -> str:
        """Return a value as people read it; `-` for none."""
        return "-" if value is None or not math.isfinite(value) else f"{value:.{self.digits}f}"


def _npmi(figures: Mapping[str, float], num_topics: int) -> float:
    same = 1 / num_topics
    apart = (figures["topic_uniqueness"] - same) / (1 - same) if num_topics > 1 else 1.0
    return figures["npmi"] - (apart < _COLLAPSED)


def _coherent(figures: Mapping[str, float], spread: str) -> float:
    # Where words do not go together, it must be no help that all topics have the same ones.
    npmi = figures["npmi"]
    return npmi * figures[spread] if npmi > 0 else npmi


TOTAL_LOSS = Objective(
    name=_LOSS,
    is_maximized=False,
    summary="how well documents are explained, nats a word: SageMaker's objective",
    formula="reconstruction loss + KL divergence",
    uses_topics=False,
    digits=4,
    _of=lambda figures, _: figures[_LOSS],
)
COMPLETION = Objective(
    name="completion",
    is_maximized=False,
    summary="how well half of a document tells the other half, nats a token",
    formula="document completion: the logarithm of its perplexity",
    uses_topics=True,
    digits=4,
    _of=lambda figures, _: figures["completion"],
    uses_completion=True,
)
NPMI = Objective(
    name="npmi",
    is_maximized=True,
    summary="whether the words of a topic go together, however much topics are alike",
    formula="NPMI; less 1 where nearly all topics are the same",
    uses_topics=True,
    digits=3,
    _of=_npmi,
)
TOPIC_QUALITY = Objective(
    name="topic_quality",
    is_maximized=True,
    summary="words that go together, in topics that differ: Dieng, Ruiz and Blei 2020",
    formula="NPMI x TD; NPMI itself where it is below 0",
    uses_topics=True,
    digits=3,
    _of=lambda figures, _: _coherent(figures, "topic_diversity"),
)
BALANCED = Objective(
    name="balanced",
    is_maximized=False,
    summary="a model that explains documents, by topics that people keep",
    formula="completion - NPMI x TU; completion - NPMI where that is below 0",
    uses_topics=True,
    digits=4,
    _of=lambda figures, _: figures["completion"] - _coherent(figures, "topic_uniqueness"),
    uses_completion=True,
)
OBJECTIVES = {one.name: one for one in (TOTAL_LOSS, COMPLETION, NPMI, TOPIC_QUALITY, BALANCED)}
"""All objectives by name, the default first."""


# Noise has topics that differ, so neither is anything to search for; to choose by, both are.
_UNIQUENESS = Objective(
    name="topic_uniqueness",
    is_maximized=True,
    summary="topics that differ in their ten top words",
    formula="TU",
    uses_topics=True,
    digits=3,
    _of=lambda figures, _: figures["topic_uniqueness"],
)
_DIVERSITY = Objective(
    name="topic_diversity",
    is_maximized=True,
    summary="topics that differ in their 25 top words",
    formula="TD",
    uses_topics=True,
    digits=3,
    _of=lambda figures, _: figures["topic_diversity"],
)
CHOICES = OBJECTIVES | {one.name: one for one in (_UNIQUENESS, _DIVERSITY)}
"""What a model of a job that was carried out can be chosen by."""


def objective_named(name: str, among: Mapping[str, Objective] = OBJECTIVES) -> Objective:
    """Return the objective of a name.

    Raises:
        JobError: If there is none of this name; says which there are.
    """
    if name not in among:
        near = difflib.get_close_matches(name, among, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise JobError(f"no objective is called {name!r}; {hint}there are {', '.join(among)}")
    return among[name]
