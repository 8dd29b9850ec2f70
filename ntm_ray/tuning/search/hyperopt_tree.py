"""A search space as hyperopt sees it."""

from __future__ import annotations

import math
from typing import Any

from hyperopt import hp

from ntm_ray.tuning.space import (
    Categorical,
    Configuration,
    Continuous,
    Integer,
    Parameter,
    SearchSpace,
)


class Tree:
    """A search space as a hyperopt expression, and the way between their values.

    hyperopt knows each random choice by a label. Ours are `name`, `name|controller=value` for a
    conditional parameter, and `... disabled` for the choice between that and a number.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self.labels: list[str] = []
        controllers = {name for parameter in space.parameters for name in parameter.when}
        # hyperopt cannot do with nothing, which is what is left when everything is fixed.
        self.expression: dict[str, Any] = {"": 0}
        for parameter in space.parameters:
            if parameter.when:
                continue
            if isinstance(parameter, Categorical) and parameter.name in controllers:
                branches = [
                    {
                        "": index,
                        **{
                            child.name: self._node(child, f"{parameter.name}={value}")
                            for child in space.parameters
                            if child.when and child.is_active({parameter.name: value})
                        },
                    }
                    for index, value in enumerate(parameter.values)
                ]
                self.expression[parameter.name] = hp.choice(parameter.name, branches)
                self.labels.append(parameter.name)
            else:
                self.expression[parameter.name] = self._node(parameter, "")

    def _node(self, parameter: Parameter, condition: str) -> Any:
        label = _label(parameter.name, condition)
        self.labels.append(label)
        if isinstance(parameter, Categorical):
            return hp.choice(label, list(range(len(parameter.values))))
        logarithmic = parameter.scaling == "logarithmic"
        low, high = parameter.min, parameter.max
        if isinstance(parameter, Integer):
            # Half a step wider at each end, so that the end values get their full share.
            low, high = low - 0.5, high + 0.5
            if logarithmic:
                return hp.qloguniform(label, math.log(low), math.log(high), 1)
            return hp.quniform(label, low, high, 1)
        if logarithmic:
            node = hp.loguniform(label, math.log(low), math.log(high))
        else:
            node = hp.uniform(label, low, high)
        if parameter.disabled is None:
            return node
        self.labels.append(f"{label} disabled")
        return hp.choice(f"{label} disabled", [None, node])

    def configuration(self, chosen: dict[str, Any]) -> Configuration:
        """From hyperopt's labels and raw values to a configuration."""
        configuration: Configuration = {}
        for parameter in self._space.parameters:
            if not parameter.is_active(configuration):
                continue
            label = self._active_label(parameter, configuration)
            if isinstance(parameter, Categorical):
                configuration[parameter.name] = parameter.values[int(chosen[label])]
            elif isinstance(parameter, Integer):
                number = min(parameter.max, max(parameter.min, round(chosen[label])))
                configuration[parameter.name] = number
            elif parameter.disabled is not None and chosen[f"{label} disabled"] == 0:
                configuration[parameter.name] = parameter.disabled
            else:
                number = float(chosen[label])
                configuration[parameter.name] = min(parameter.max, max(parameter.min, number))
        return configuration

    def chosen(self, configuration: Configuration) -> dict[str, Any]:
        """From a configuration to hyperopt's labels and raw values."""
        chosen: dict[str, Any] = {}
        for parameter in self._space.parameters:
            if not parameter.is_active(configuration):
                continue
            label = self._active_label(parameter, configuration)
            value = configuration[parameter.name]
            if isinstance(parameter, Categorical):
                chosen[label] = parameter.values.index(value)
                continue
            if isinstance(parameter, Continuous) and parameter.disabled is not None:
                chosen[f"{label} disabled"] = int(value != parameter.disabled)
                if value == parameter.disabled:
                    continue
            chosen[label] = value
        return chosen

    def _active_label(self, parameter: Parameter, configuration: Configuration) -> str:
        for name in parameter.when:
            return _label(parameter.name, f"{name}={configuration[name]}")
        return _label(parameter.name, "")


def _label(name: str, condition: str) -> str:
    return f"{name}|{condition}" if condition else name
