"""The contenders of other libraries, by their own classes: Ray Tune's and Optuna's.

Both are given the space with its conditions, and call for call what their tuner would hand them.
"""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import optuna
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.hyperopt import HyperOptSearch

from ntm_ray.tuning import OBJECTIVE, SearchSpace
from ntm_ray.tuning.search.hyperopt_tree import Tree

if TYPE_CHECKING:
    from ntm_ray.tuning.space import Configuration

SPACE = SearchSpace.read("focused")
logging.getLogger("hyperopt").setLevel(logging.WARNING)
optuna.logging.set_verbosity(optuna.logging.WARNING)


class PlainRay:
    """HyperOptSearch and ASHAScheduler with their defaults, as Ray's guides put them together."""

    def __init__(self, epochs: int, seed: int) -> None:
        self._search: Any = HyperOptSearch(
            Tree(SPACE).expression, metric=OBJECTIVE, mode="min", random_state_seed=seed
        )
        # Any, because all that it asks of a trial is its name, and of a controller nothing.
        self._scheduler: Any = ASHAScheduler(metric=OBJECTIVE, mode="min", max_t=epochs)
        self._number = 0

    def next(self) -> tuple[Any, Configuration, int]:
        """Have HyperOptSearch suggest, and ASHA take note."""
        self._number += 1
        trial = SimpleNamespace(trial_id=f"{self._number:05d}")
        suggested = self._search.suggest(trial.trial_id)
        self._scheduler.on_trial_add(None, trial)
        return _Hashable(trial), _configuration(suggested), 0

    def report(self, trial: _Hashable, epoch: int, loss: float) -> bool:
        """A result, as Tune passes it on; a loss that diverged is not a number."""
        result = {
            "training_iteration": epoch,
            OBJECTIVE: loss if math.isfinite(loss) else math.nan,
        }
        if math.isinf(loss):
            # The trial ends by itself.
            self._scheduler.on_trial_complete(None, trial.trial, result)
            self._search.on_trial_complete(trial.trial.trial_id, result)
            return False
        decision = self._scheduler.on_trial_result(None, trial.trial, result)
        if decision == TrialScheduler.STOP:
            self._search.on_trial_complete(trial.trial.trial_id, result)
            return False
        self._search.on_trial_result(trial.trial.trial_id, result)
        return True


def _configuration(suggested: dict[str, Any]) -> Configuration:
    """From what hyperopt makes of our expression to a configuration."""
    configuration: Configuration = {}
    for parameter in SPACE.parameters:
        if not parameter.is_active(configuration):
            continue
        branch = suggested
        for name in parameter.when:
            branch = suggested[name]
        value = branch[parameter.name]
        if parameter.type == "categorical":
            value = parameter.values[value[""] if isinstance(value, dict) else value]
        elif parameter.type == "integer":
            value = min(parameter.max, max(parameter.min, round(value)))
        elif value is None:
            value = parameter.disabled
        configuration[parameter.name] = value
    return configuration


class _Hashable:
    def __init__(self, trial: SimpleNamespace) -> None:
        self.trial = trial


class PlainOptuna:
    """TPESampler and HyperbandPruner with their defaults, by ask and tell."""

    def __init__(self, epochs: int, seed: int) -> None:
        self._epochs = epochs
        self._study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs),
        )

    def next(self) -> tuple[Any, Configuration, int]:
        """Ask for a trial and have it suggest each active parameter."""
        trial = self._study.ask()
        configuration: Configuration = {}
        for parameter in SPACE.parameters:
            if not parameter.is_active(configuration):
                continue
            name = "|".join([parameter.name, *(str(configuration[n]) for n in parameter.when)])
            if parameter.type == "categorical":
                value: Any = trial.suggest_categorical(name, parameter.values)
            elif parameter.type == "integer":
                log = parameter.scaling == "logarithmic"
                value = trial.suggest_int(name, parameter.min, parameter.max, log=log)
            elif getattr(parameter, "disabled", None) is not None and not (
                trial.suggest_categorical(f"{name} on", [False, True])
            ):
                value = parameter.disabled
            else:
                log = parameter.scaling == "logarithmic"
                value = trial.suggest_float(name, parameter.min, parameter.max, log=log)
            configuration[parameter.name] = value
        return trial, configuration, 0

    def report(self, trial: optuna.Trial, epoch: int, loss: float) -> bool:
        """An objective function's report, and its end."""
        if math.isinf(loss):
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return False
        trial.report(loss, epoch)
        if epoch == self._epochs:
            self._study.tell(trial, loss)
            return False
        if trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return False
        return True
