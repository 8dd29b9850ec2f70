"""The tree-structured Parzen estimator, by hyperopt.

Bergstra, Bardenet, Bengio and Kegl, "Algorithms for Hyper-Parameter Optimization" (2011).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import hyperopt
import numpy as np
from hyperopt import hp

from ntm_ray.tuning.space import (
    Categorical,
    Configuration,
    Continuous,
    Integer,
    Parameter,
    SearchSpace,
)

if TYPE_CHECKING:
    from ntm_ray.tuning.search.algorithm import Observation

# Random draws before the first model. Bergstra's 20 would be half of a job of 40 trials.
STARTUP_TRIALS = 10
# TPE only ranks losses, so any value above what a sane trial can reach makes a trial the worst.
# A finite one, because hyperopt drops trials whose loss is not: they would look never tried.
DIVERGED_LOSS = 1e9


class TPE:
    """Models good and bad configurations apart, and proposes where good ones are dense.

    A conditional parameter is a parameter of its own under each value that switches it on: the
    learning rate of adam is modelled apart from that of sgd. `Continuous.disabled` is a choice
    that is modelled before the number is. Results at rungs below the last are not used.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._proposed = 0
        self._tree = _Tree(space)
        self._domain = hyperopt.Domain(lambda configuration: configuration, self._tree.expression)
        self._trials = hyperopt.Trials()
        self._documents: dict[str, dict[str, Any]] = {}
        self._suggest = partial(hyperopt.tpe.suggest, n_startup_jobs=STARTUP_TRIALS, verbose=False)

    def propose(self, trial: str) -> Configuration:
        """Propose a configuration: random at first, from the model later."""
        # A seed a proposal, not one stream: a resumed job need not repeat the earlier draws.
        seed = int(np.random.default_rng([self._seed, self._proposed]).integers(2**31 - 1))
        ids = self._trials.new_trial_ids(1)
        (document,) = self._suggest(ids, self._domain, self._trials, seed)
        self._insert(trial, document)
        chosen = {label: value[0] for label, value in document["misc"]["vals"].items() if value}
        return self._tree.configuration(chosen)

    def adopt(self, trial: str, configuration: Configuration) -> None:
        """Enter a configuration as if it had been proposed here."""
        (number,) = self._trials.new_trial_ids(1)
        chosen = self._tree.chosen(configuration)
        vals = {label: [chosen[label]] if label in chosen else [] for label in self._tree.labels}
        misc = {
            "tid": number,
            "cmd": self._domain.cmd,
            "workdir": self._domain.workdir,
            "idxs": {label: [number] if value else [] for label, value in vals.items()},
            "vals": vals,
        }
        (document,) = self._trials.new_trial_docs(
            [number], [None], [self._domain.new_result()], [misc]
        )
        self._insert(trial, document)

    def tell(self, trial: str, observation: Observation) -> None:
        """Enter a finished trial's best loss into the model."""
        if not observation.finished:
            return
        document = self._documents.pop(trial)
        loss = min(observation.loss, DIVERGED_LOSS)
        document["state"] = hyperopt.JOB_STATE_DONE
        document["result"] = {"loss": loss, "status": hyperopt.STATUS_OK}
        self._trials.refresh()

    def _insert(self, trial: str, document: dict[str, Any]) -> None:
        self._trials.insert_trial_docs([document])
        self._trials.refresh()
        # The inserted document is a copy; results must go into that one.
        self._documents[trial] = self._trials._dynamic_trials[-1]
        self._proposed += 1


class _Tree:
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
