"""Optuna's tree-structured Parzen estimator, of the extra `optuna`.

Akiba, Sano, Yanase, Ohta and Koyama, "Optuna" (2019), arXiv 1907.10902. Optuna's pruners are not
used: which trials go on is the scheduler's business.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from ntm_ray.tuning.search.evidence import Evidence
from ntm_ray.tuning.space import Categorical, Continuous, Integer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntm_ray.tuning.search.algorithm import Observation
    from ntm_ray.tuning.space import Configuration, Parameter, SearchSpace, Value

STARTUP_TRIALS = 10
# Optuna takes no infinite loss for the worst of many; it only ranks them.
DIVERGED_LOSS = 1e9
MOST_RESULTS = 200


class Optuna:
    """Optuna's TPE: parameters that belong together are modelled together.

    Each proposal is that of a sampler seeded for it, over the results of the highest rung that
    has enough; trials still running count as bad ones, so that not all slots try the same.
    """

    def __init__(
        self, space: SearchSpace, seed: int, *, startup_trials: int = STARTUP_TRIALS
    ) -> None:
        """Start with nothing.

        Args:
            space: What is searched.
            seed: Decides the proposals.
            startup_trials: How many results come before the first model; random until then.
        """
        self._space = space
        self._seed = seed
        self._startup_trials = startup_trials
        self._proposed = 0
        self._evidence = Evidence(startup_trials)

    def propose(self, trial: str) -> Configuration:
        """Ask Optuna for the next configuration."""
        with _quietly():
            study = optuna.create_study(
                sampler=optuna.samplers.TPESampler(
                    seed=self._next_seed(),
                    n_startup_trials=self._startup_trials,
                    multivariate=True,
                    group=True,
                    constant_liar=True,
                )
            )
            for drawn, loss in self._evidence.results(MOST_RESULTS):
                study.add_trial(self._told(drawn, min(loss, DIVERGED_LOSS)))
            for drawn in self._evidence.pending():
                study.add_trial(self._told(drawn, None))
            configuration = self._suggested(study.ask())
        self._begin(trial, configuration)
        return configuration

    def adopt(self, trial: str, configuration: Configuration) -> None:
        """Enter a configuration as if it had been proposed here."""
        self._begin(trial, configuration)

    def tell(self, trial: str, observation: Observation) -> None:
        """Enter a loss at a rung, or at the end."""
        self._evidence.tell(trial, observation)

    def _begin(self, trial: str, configuration: Configuration) -> None:
        self._proposed += 1
        self._evidence.begin(trial, configuration)

    def _next_seed(self) -> int:
        # A seed a proposal, not one stream: a resumed job need not repeat the earlier draws.
        return int(np.random.default_rng([self._seed, self._proposed]).integers(2**31 - 1))

    def _suggested(self, asked: optuna.Trial) -> Configuration:
        """Let Optuna choose what is active, one parameter after the other."""
        configuration: Configuration = {}
        for parameter in self._space.parameters:
            if not parameter.is_active(configuration):
                continue
            key = _key(parameter)
            if (
                isinstance(parameter, Continuous)
                and parameter.disabled is not None
                and not asked.suggest_categorical(f"{key} used", _USED.choices)
            ):
                configuration[parameter.name] = parameter.disabled
            else:
                configuration[parameter.name] = _suggest(asked, key, parameter)
        return configuration

    def _told(self, configuration: Configuration, loss: float | None) -> optuna.trial.FrozenTrial:
        """A trial as Optuna keeps it; without a loss, one that runs."""
        params: dict[str, object] = {}
        distributions: dict[str, BaseDistribution] = {}
        for parameter in self._space.parameters:
            if not parameter.is_active(configuration):
                continue
            key, value = _key(parameter), configuration[parameter.name]
            if isinstance(parameter, Continuous) and parameter.disabled is not None:
                params[f"{key} used"] = value != parameter.disabled
                distributions[f"{key} used"] = _USED
                if value == parameter.disabled:
                    continue
            params[key] = value
            distributions[key] = _distribution(parameter)
        return create_trial(
            state=TrialState.RUNNING if loss is None else TrialState.COMPLETE,
            value=loss,
            params=params,
            distributions=distributions,
        )


_USED = CategoricalDistribution([False, True])


def _key(parameter: Parameter) -> str:
    """What Optuna knows a parameter by; a name may stand several times, under conditions."""
    condition = [f"{name}={','.join(map(str, values))}" for name, values in parameter.when.items()]
    return " ".join([parameter.name, *condition])


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(parameter.values)
    logarithmic = parameter.scaling == "logarithmic"
    if isinstance(parameter, Integer):
        return IntDistribution(parameter.min, parameter.max, log=logarithmic)
    return FloatDistribution(parameter.min, parameter.max, log=logarithmic)


def _suggest(asked: optuna.Trial, key: str, parameter: Parameter) -> Value:
    if isinstance(parameter, Categorical):
        return cast("Value", asked.suggest_categorical(key, parameter.values))
    logarithmic = parameter.scaling == "logarithmic"
    if isinstance(parameter, Integer):
        return asked.suggest_int(key, parameter.min, parameter.max, log=logarithmic)
    return asked.suggest_float(key, parameter.min, parameter.max, log=logarithmic)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep Optuna from announcing each study, and its options as experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
