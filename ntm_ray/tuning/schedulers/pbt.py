"""Population based training.

Jaderberg et al., "Population Based Training of Neural Networks" (2017), arXiv 1711.09846.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.tuning.schedulers.scheduler import Decision, Leg, Scheduler
from ntm_ray.tuning.space import Categorical, Continuous

if TYPE_CHECKING:
    from ntm_ray.tuning.space import Configuration, Parameter, SearchSpace, Value

# So many rungs in a training, unless the interval is given.
RUNGS = 10
# The worst quarter takes over from the best quarter.
QUARTER = 0.25
RESAMPLED = 0.25
FACTORS = (0.8, 1.2)
# What the weights and the optimizer's sums were made for: a trial takes it over as it is.
KEPT = frozenset(
    (
        "batch_norm",
        "decoder",
        "encoder_input",
        "encoder_layers",
        "encoder_layers_activation",
        "num_topics",
        "optimizer",
        "prior",
    )
)


class PBT(Scheduler):
    """Population based: at a rung, the worst quarter goes on from the best quarter's training.

    All trials of the job are one population: every one is paused at each rung until all have come
    there, so that what becomes of them does not depend on who was first. A number is multiplied
    by 0.8 or 1.2, or, as other values, drawn anew in one of four cases; it stays in its range. The
    network and the optimizer stay what they are in the training that is taken over.
    """

    def __init__(
        self, max_epochs: int, space: SearchSpace, seed: int, *, interval: int | None = None
    ) -> None:
        """Start with nobody.

        Args:
            max_epochs: The most epochs that a trial trains.
            space: What the changed configurations keep to.
            seed: Decides who takes over from whom, and the changes.
            interval: Epochs from rung to rung; None: a tenth of `max_epochs`.

        Raises:
            ValueError: If the interval is below 1.
        """
        if interval is None:
            interval = max(1, max_epochs // RUNGS)
        if interval < 1:
            raise ValueError(f"interval = {interval}: at least 1 is wanted")
        self._space = space
        self._seed = seed
        # Nothing is exchanged at the last one. Who ends by itself is entered there too.
        self._last = max(0, max_epochs - 1)
        exchanges = range(interval, self._last, interval)
        self._rungs = (*exchanges, self._last) if self._last else ()
        self._configurations: dict[str, Configuration] = {}
        self._losses: dict[int, dict[str, float]] = {rung: {} for rung in self._rungs}
        self._waiting: dict[str, int] = {}
        self._over: set[str] = set()
        self._legs: deque[Leg] = deque()
        self._generations = 0

    @property
    def rungs(self) -> tuple[int, ...]:
        """Every `interval` epochs, and the last but one epoch."""
        return self._rungs

    @property
    def pauses(self) -> bool:
        """At every rung."""
        return True

    def begin(self, trial: str, configuration: Configuration) -> None:
        """Take a trial into the population."""
        self._configurations[trial] = configuration

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        """Enter a trial's loss, and let it wait for the others."""
        if trial in self._losses[rung]:
            return Decision.CONTINUE
        self._losses[rung][trial] = math.inf if math.isnan(loss) else loss
        if not math.isfinite(loss):
            self._over.add(trial)
            self._waiting.pop(trial, None)
            return Decision.STOP
        if rung == self._last:
            self._over.add(trial)
            self._waiting.pop(trial, None)
            return Decision.CONTINUE
        self._waiting[trial] = rung
        return Decision.PAUSE

    def next_leg(self, *, exhausted: bool) -> Leg | None:
        """Let the population go on when all of it waits."""
        nobody_trains = len(self._waiting) + len(self._over) == len(self._configurations)
        if not self._legs and exhausted and self._waiting and nobody_trains:
            self._exchange(min(self._waiting.values()))
        return self._legs.popleft() if self._legs else None

    def _exchange(self, rung: int) -> None:
        """Say how each that waits at a rung goes on."""
        random = np.random.default_rng([self._seed, self._generations])
        self._generations += 1
        losses = self._losses[rung]
        there = sorted(trial for trial, at in self._waiting.items() if at == rung)
        ranked = sorted(there, key=lambda trial: (losses[trial], trial))
        some = min(math.ceil(len(ranked) * QUARTER), len(ranked) // 2)
        best, worst = ranked[:some], set(ranked[len(ranked) - some :])
        changed = {}
        for trial in there:
            del self._waiting[trial]
            if trial in worst:
                source = best[int(random.integers(len(best)))]
                changed[trial] = self._explored(self._configurations[source], random)
                self._legs.append(Leg(trial, source, changed[trial]))
            else:
                self._legs.append(Leg(trial))
        self._configurations |= changed

    def _explored(self, source: Configuration, random: np.random.Generator) -> Configuration:
        kept = KEPT | {name for parameter in self._space.parameters for name in parameter.when}
        return {
            parameter.name: source[parameter.name]
            if parameter.name in kept
            else _changed(parameter, source[parameter.name], random)
            for parameter in self._space.parameters
            if parameter.is_active(source)
        }


def _changed(parameter: Parameter, value: Value, random: np.random.Generator) -> Value:
    if random.random() < RESAMPLED:
        return parameter.from_unit(float(random.random()))
    factor = FACTORS[int(random.integers(len(FACTORS)))]
    if isinstance(parameter, Categorical) or (
        isinstance(parameter, Continuous) and value == parameter.disabled
    ):
        return value
    number = min(parameter.max, max(parameter.min, float(value) * factor))
    return number if isinstance(parameter, Continuous) else round(number)
