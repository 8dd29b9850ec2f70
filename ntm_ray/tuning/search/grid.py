"""Grid search, over spaces with conditions too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ntm_ray.tuning.search.algorithm import Exhausted
from ntm_ray.tuning.space import Categorical, Integer

if TYPE_CHECKING:
    from ntm_ray.tuning.search.algorithm import Observation
    from ntm_ray.tuning.space import Configuration, Continuous, Parameter, SearchSpace, Value

# Values of a number that are tried: both ends, and the middle of its scale.
DEFAULT_POINTS = 3


class Grid:
    """Every combination once, in an order that spreads the first ones out; then the search ends.

    A number is tried at evenly spaced points of its scale, both ends included, and switched off
    where it can be; what a condition rules out is not combined.
    """

    def __init__(self, space: SearchSpace, seed: int, *, points: int = DEFAULT_POINTS) -> None:
        """Count the combinations.

        Args:
            space: What is searched.
            seed: Decides the order.
            points: How many values of a number are tried, at least 2.

        Raises:
            ValueError: If there are fewer points than the two ends.
        """
        if points < 2:
            raise ValueError(f"points = {points}: at least 2 are wanted, the ends of a range")
        self._parameters = space.parameters
        self._values = [_values(parameter, points) for parameter in space.parameters]
        self._controllers = {name for p in space.parameters for name in p.when}
        self._size = self._count(0, {})
        # A stride near the golden section, without a factor in common with the size, comes to
        # every combination once, and never twice near the same place in a row.
        random = np.random.default_rng(seed)
        self._start = int(random.integers(self._size))
        self._stride = max(1, round(self._size * (math.sqrt(5) - 1) / 2) + int(random.integers(8)))
        while math.gcd(self._stride, self._size) != 1:
            self._stride += 1
        self._proposed = 0

    def propose(self, trial: str) -> Configuration:  # noqa: ARG002 - a trial is like any other
        """Return the next combination.

        Raises:
            Exhausted: When each has been proposed.
        """
        if self._proposed == self._size:
            raise Exhausted
        self._proposed += 1
        return self._next(self._proposed - 1)

    def adopt(self, trial: str, configuration: Configuration) -> None:  # noqa: ARG002
        """Step on if it is the next one, as at resume; one from elsewhere takes no turn."""
        if self._proposed < self._size and self._next(self._proposed) == configuration:
            self._proposed += 1

    def tell(self, trial: str, observation: Observation) -> None:
        """Do nothing: a grid does not learn."""

    def _next(self, number: int) -> Configuration:
        index = (self._start + number * self._stride) % self._size
        configuration: Configuration = {}
        for place, (parameter, values) in enumerate(
            zip(self._parameters, self._values, strict=True)
        ):
            if not parameter.is_active(configuration):
                continue
            for value in values:
                configuration[parameter.name] = value
                below = self._count(place + 1, configuration)
                if index < below:
                    break
                index -= below
        return configuration

    def _count(self, place: int, configuration: Configuration) -> int:
        """How many combinations the parameters from `place` on have."""
        if place == len(self._parameters):
            return 1
        parameter, values = self._parameters[place], self._values[place]
        if not parameter.is_active(configuration):
            return self._count(place + 1, configuration)
        if parameter.name not in self._controllers:
            return len(values) * self._count(place + 1, configuration)
        return sum(
            self._count(place + 1, configuration | {parameter.name: value}) for value in values
        )


def _values(parameter: Parameter, points: int) -> list[Value]:
    if isinstance(parameter, Categorical):
        return list(parameter.values)
    if isinstance(parameter, Integer):
        points = min(points, parameter.max - parameter.min + 1)
        # Several points may fall on one whole number of a short logarithmic range.
        spaced = {round(_at(parameter, step / (points - 1))) for step in range(points)}
        return [*sorted(spaced)]
    spread = [_at(parameter, step / (points - 1)) for step in range(points)]
    spread = [min(parameter.max, max(parameter.min, value)) for value in spread]
    return [*spread] if parameter.disabled is None else [parameter.disabled, *spread]


def _at(parameter: Continuous | Integer, share: float) -> float:
    """The number at a share of the scale, from 0 at one end to 1 at the other."""
    low, high = float(parameter.min), float(parameter.max)
    if parameter.scaling == "linear":
        return low + share * (high - low)
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
