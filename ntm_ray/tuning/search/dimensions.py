"""A search space as a unit cube, and back: one number in [0, 1) a parameter.

A name that stands several times under different conditions is several dimensions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ntm_ray.tuning.space import Categorical, Continuous

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntm_ray.tuning.space import Configuration, Parameter, SearchSpace, Value


def configuration_at(space: SearchSpace, units: Sequence[float]) -> Configuration:
    """Return the configuration at a point of the cube.

    Args:
        space: The search space.
        units: As many numbers in [0, 1) as the space has parameters; those of parameters that
            are not active are ignored.
    """
    configuration: Configuration = {}
    for parameter, unit in zip(space.parameters, units, strict=True):
        if parameter.is_active(configuration):
            configuration[parameter.name] = parameter.from_unit(unit)
    return configuration


def unit_of(parameter: Parameter, value: Value) -> float:
    """Return a number in [0, 1) that `parameter.from_unit` maps to a value, or next to it."""
    if isinstance(parameter, Categorical):
        return (parameter.values.index(value) + 0.5) / len(parameter.values)
    number = float(value)
    if isinstance(parameter, Continuous):
        if parameter.disabled is None:
            return _inside(_share(parameter, number, parameter.max))
        if number == parameter.disabled:
            return 0.25
        return _inside(0.5 + _share(parameter, number, parameter.max) / 2)
    # The middle of the share that the whole number has of the scale.
    ends = (
        _share(parameter, number, parameter.max + 1),
        _share(parameter, number + 1, parameter.max + 1),
    )
    return _inside(sum(ends) / 2)


def units_of(space: SearchSpace, configuration: Mapping[str, Value]) -> list[float | None]:
    """Return a configuration's place in the cube; None for what is not active."""
    return [
        unit_of(parameter, configuration[parameter.name])
        if parameter.is_active(configuration)
        else None
        for parameter in space.parameters
    ]


def _share(parameter: Parameter, number: float, high: float) -> float:
    assert not isinstance(parameter, Categorical)
    low = float(parameter.min)
    if parameter.scaling == "linear":
        return (number - low) / (high - low)
    return (math.log(number) - math.log(low)) / (math.log(high) - math.log(low))


def _inside(unit: float) -> float:
    return min(max(unit, 0.0), math.nextafter(1.0, 0.0))
