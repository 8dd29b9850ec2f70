"""Which results a model is made of: those of one rung, so that epochs are never mixed.

The rule is that of BOHB (Falkner, Klein and Hutter 2018): the highest rung that has enough.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ntm_ray.tuning.search.algorithm import Observation
    from ntm_ray.tuning.space import Configuration

# Above every rung: trained to the end.
END = math.inf


@dataclass
class _Level:
    """What is known at one rung: a loss a trial, in the order of their arrival."""

    losses: dict[str, float] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    ranked: list[tuple[float, int, str]] = field(default_factory=list)
    trained: int = 0

    def enter(self, trial: str, loss: float) -> None:
        if trial not in self.losses:
            self.numbers[trial] = len(self.numbers)
        elif math.isinf(loss) and math.isfinite(was := self.losses[trial]):
            # It has diverged since, however good it was here.
            place = bisect_left(self.ranked, (was, self.numbers[trial], trial))
            del self.ranked[place]
            self.trained -= 1
        else:
            return
        insort(self.ranked, (loss, self.numbers[trial], trial))
        self.losses[trial] = loss
        self.trained += math.isfinite(loss)


class Evidence:
    """All that was told of trials, by rung.

    A trial that ended by itself counts, with its best loss, at the rungs above too: it would not
    have come further. One that diverged or failed is the worst at every rung: it is not missing.
    One that was stopped early counts at the rungs that it reached.
    """

    def __init__(self, enough: int) -> None:
        """Start with nothing.

        Args:
            enough: How many trials with a finite loss make a rung worth modelling.
        """
        self._enough = enough
        self._levels: dict[float, _Level] = {END: _Level()}
        self._ended: dict[str, tuple[int, float]] = {}
        self._configurations: dict[str, Configuration] = {}
        self._pending: dict[str, Configuration] = {}

    def begin(self, trial: str, configuration: Configuration) -> None:
        """Take note of a trial that has been proposed or adopted."""
        self._configurations[trial] = configuration
        self._pending[trial] = configuration

    def tell(self, trial: str, observation: Observation) -> None:
        """Enter a loss; one rung of one trial counts once."""
        loss = math.inf if math.isnan(observation.loss) else observation.loss
        # A scheduler may have changed it since.
        self._configurations[trial] = observation.configuration
        if not observation.finished:
            self._rung(observation.epoch).enter(trial, loss)
            return
        self._pending.pop(trial, None)
        if math.isinf(loss) or not observation.stopped:
            epoch = 0 if math.isinf(loss) else observation.epoch
            self._ended[trial] = epoch, loss
            for rung, level in self._levels.items():
                if rung > epoch:
                    level.enter(trial, loss)

    @property
    def rung(self) -> float | None:
        """The epoch whose results are modelled; infinite: those of whole trainings; None: none."""
        for rung in sorted(self._levels, reverse=True):
            if self._levels[rung].trained >= self._enough:
                return rung
        return None

    def results(self, most: int) -> list[tuple[Configuration, float]]:
        """Return what is known at `rung`: configurations and losses, infinite for the worst.

        Args:
            most: How many at most, so that a model costs the same after ten thousand trials: a
                quarter of them the best there are, the others the newest.
        """
        if self.rung is None:
            return []
        level = self._levels[self.rung]
        trials = list(level.losses)
        if len(trials) > most:
            chosen = {trial for _, _, trial in level.ranked[: most // 4]}
            for trial in reversed(trials):
                if len(chosen) == most:
                    break
                chosen.add(trial)
            trials = [trial for trial in trials if trial in chosen]
        return [(self._configurations[trial], level.losses[trial]) for trial in trials]

    def pending(self) -> list[Configuration]:
        """Return the configurations of trials that run and have no loss at `rung` yet."""
        known = self._levels[self.rung].losses if self.rung is not None else {}
        return [drawn for trial, drawn in self._pending.items() if trial not in known]

    def _rung(self, epoch: int) -> _Level:
        if epoch not in self._levels:
            self._levels[epoch] = level = _Level()
            for trial, (end, loss) in self._ended.items():
                if end < epoch:
                    level.enter(trial, loss)
        return self._levels[epoch]
