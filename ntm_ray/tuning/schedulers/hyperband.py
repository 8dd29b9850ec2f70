"""Hyperband, asynchronously: successive halving in several brackets.

Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband" (2018), arXiv 1603.06560, with the
brackets carried out as in its asynchronous form (arXiv 1810.05934).
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from ntm_ray.tuning.schedulers.scheduler import Decision, Scheduler

if TYPE_CHECKING:
    from ntm_ray.tuning.space import SearchSpace

REDUCTION_FACTOR = 3


class Hyperband(Scheduler):
    """Successive halving in brackets that begin to stop trials at 1, 3, 9, ... epochs.

    A trial's number decides its bracket, with the shares that Hyperband gives them: of an 81
    epochs' budget, of 143 trials 81 are first compared at 1 epoch, 34 at 3, 15 at 9, 8 at 27, and
    5 train to their end. Who is late to show what he can do has his chance in the later brackets.
    Within a bracket the best third of those that have reached a rung so far goes on.
    """

    def __init__(
        self,
        max_epochs: int,
        space: SearchSpace,  # noqa: ARG002 - every scheduler is given it
        seed: int,  # noqa: ARG002
        *,
        reduction_factor: int = REDUCTION_FACTOR,
    ) -> None:
        """Lay out the brackets.

        Args:
            max_epochs: The most epochs that a trial trains.
            space: What is searched; not used.
            seed: Not used: nothing is drawn.
            reduction_factor: One in so many goes on at a rung, and rungs are so many times apart.

        Raises:
            ValueError: If the factor is below 2.
        """
        if reduction_factor < 2:
            raise ValueError(f"reduction_factor = {reduction_factor}: at least 2 is wanted")
        self._factor = reduction_factor
        rungs = [1]
        while rungs[-1] * reduction_factor < max_epochs:
            rungs.append(rungs[-1] * reduction_factor)
        self._rungs = tuple(rung for rung in rungs if rung < max_epochs)
        # The last bracket has no rung.
        brackets = len(self._rungs) + 1
        shares = [
            math.ceil(brackets / (left + 1) * reduction_factor**left)
            for left in reversed(range(brackets))
        ]
        self._turns = _turns(shares)
        self._brackets: dict[str, int] = {}
        self._losses: dict[tuple[int, int], list[float]] = {}
        self._entered: set[tuple[str, int]] = set()

    @property
    def rungs(self) -> tuple[int, ...]:
        """The rungs of all brackets."""
        return self._rungs

    def bracket(self, trial: str) -> int:
        """The bracket of a trial: 0 compares at every rung, each next one at one less."""
        if trial not in self._brackets:
            number = int(trial) if trial.isdecimal() else len(self._brackets)
            self._brackets[trial] = self._turns[number % len(self._turns)]
        return self._brackets[trial]

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        """Compare a trial with those of its own bracket, if that has this rung."""
        bracket = self.bracket(trial)
        if (trial, rung) in self._entered:
            return Decision.CONTINUE
        self._entered.add((trial, rung))
        if rung < self._factor**bracket:
            return Decision.CONTINUE
        loss = math.inf if math.isnan(loss) else loss
        losses = self._losses.setdefault((bracket, rung), [])
        better = bisect_left(losses, loss)
        insort(losses, loss)
        if math.isinf(loss) or better >= math.ceil(len(losses) / self._factor):
            return Decision.STOP
        return Decision.CONTINUE


def _turns(shares: list[int]) -> list[int]:
    """Brackets in turn, each as often as its share and spread out evenly.

    Whenever the search ends, each has had its part.
    """
    turns = []
    credit = [0] * len(shares)
    for _ in range(sum(shares)):
        credit = [have + share for have, share in zip(credit, shares, strict=True)]
        turn = credit.index(max(credit))
        credit[turn] -= sum(shares)
        turns.append(turn)
    return turns
