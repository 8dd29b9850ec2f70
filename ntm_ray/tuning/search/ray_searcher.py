"""A Ray Tune `Searcher` as a search algorithm.

Ray's search spaces have no conditions and no `disabled` that every Searcher understands, so the
space is handed over flat: each parameter is one of Ray's domains, drawn for every trial, and what
is not active in a proposed configuration is dropped from it. The Searcher thinks that those
parameters mattered; that is the price of handing it over.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.search import ConcurrencyLimiter, Repeater, Searcher

from ntm_ray.errors import JobError
from ntm_ray.tuning.handed_over import random_state
from ntm_ray.tuning.search.algorithm import Exhausted
from ntm_ray.tuning.space import Categorical, Configuration, Continuous, Integer, Parameter
from ntm_ray.tuning.trial_record import OBJECTIVE

if TYPE_CHECKING:
    from ntm_ray.tuning.search.algorithm import Observation
    from ntm_ray.tuning.space import SearchSpace

# What a diverged trial is told to have reached. With NaN, or as an error, Ray's Searchers forget
# the trial and try its neighbourhood again and again.
DIVERGED_LOSS = 1e9


class RaySearcher:
    """Hands proposals and results between our search and a Searcher of Ray's.

    At resume its trials are proposed once more, so a Searcher with a seed of its own comes back
    to where it was. A configuration chosen elsewhere, or one that it does not propose again, is
    told to it afterwards if it can be (`add_evaluated_point`), and lost to it if not.
    """

    def __init__(self, searcher: Searcher, space: SearchSpace, seed: int) -> None:
        """Hand the space over.

        Raises:
            JobError: If the Searcher has a space of its own, or cannot take this one.
        """
        self._name = f"Ray's {type(searcher).__name__}"
        self._searcher = searcher
        self._space = space
        self._seed = seed
        self._asked = 0
        self._strangers: set[str] = set()
        domains = {key: domain for p in space.parameters for key, domain in _domains(p).items()}
        try:
            taken = not domains or searcher.set_search_properties(OBJECTIVE, "min", domains)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            message = " ".join(str(error).split())
            raise JobError(f"search: {self._name} cannot take the space: {message}") from error
        if not taken:
            raise JobError(
                f"search: {self._name} has a space or a mode already; make a new one without, the "
                "job hands its own over"
            )

    def propose(self, trial: str) -> Configuration:
        """Ask the Searcher, and drop what is not active."""
        if not self._space.parameters:
            return {}
        self._asked += 1
        with random_state(self._seed, self._asked):
            suggested: Any = self._searcher.suggest(trial)
        if suggested == Searcher.FINISHED:
            raise Exhausted
        if not isinstance(suggested, dict):
            raise JobError(f"search: {self._name} proposed {suggested!r}, not a configuration")
        return _configuration(self._space, suggested)

    def adopt(self, trial: str, configuration: Configuration) -> None:
        """Let the Searcher propose what it proposed before; if it does not, tell it later."""
        try:
            if self.propose(trial) == configuration:
                return
        except Exhausted:
            pass
        else:
            self._searcher.on_trial_complete(trial, None, error=True)
        self._strangers.add(trial)

    def tell(self, trial: str, observation: Observation) -> None:
        """Pass a result on: at rungs as Ray's running results, at the end as the last one."""
        if not self._space.parameters:
            return
        loss = min(observation.loss, DIVERGED_LOSS)
        if trial in self._strangers:
            if observation.finished:
                self._tell_stranger(observation.configuration, loss)
            return
        result = {
            OBJECTIVE: loss,
            "training_iteration": observation.epoch,
            "trial_id": trial,
            "done": observation.finished,
        }
        with random_state(self._seed, self._asked):
            if observation.finished:
                self._searcher.on_trial_complete(trial, result)
            else:
                self._searcher.on_trial_result(trial, result)

    def _tell_stranger(self, configuration: Configuration, loss: float) -> None:
        # Most of Ray's Searchers cannot be told.
        with contextlib.suppress(NotImplementedError):
            self._searcher.add_evaluated_point(_point(self._space, configuration), loss)


def check_searcher(searcher: Searcher) -> None:
    """See that a Searcher can be handed over, before anything is.

    Raises:
        JobError: If it is one that makes trials wait, or has an objective of its own.
    """
    if isinstance(searcher, ConcurrencyLimiter | Repeater):
        raise JobError(
            f"search: hand over the Searcher inside of Ray's {type(searcher).__name__}; how many "
            "trials run at a time is what `slots` says"
        )
    if searcher.metric is not None:
        raise JobError(
            f"search: Ray's {type(searcher).__name__} has a metric already, or has served a job; "
            "make a new one without, the job hands its own over"
        )


def _key(parameter: Parameter) -> str:
    """What Ray knows a parameter by; a name may stand several times, under conditions."""
    condition = [f"{name}={','.join(map(str, values))}" for name, values in parameter.when.items()]
    return " ".join([parameter.name, *condition])


def _domains(parameter: Parameter) -> dict[str, Any]:
    key = _key(parameter)
    if isinstance(parameter, Categorical):
        return {key: tune.choice(list(parameter.values))}
    logarithmic = parameter.scaling == "logarithmic"
    if isinstance(parameter, Integer):
        # Ray leaves the upper end out.
        first, end = parameter.min, parameter.max + 1
        return {key: tune.lograndint(first, end) if logarithmic else tune.randint(first, end)}
    low, high = parameter.min, parameter.max
    domain = {key: tune.loguniform(low, high) if logarithmic else tune.uniform(low, high)}
    if parameter.disabled is None:
        return domain
    return {f"{key} used": tune.choice([False, True])} | domain


def _configuration(space: SearchSpace, suggested: dict[str, Any]) -> Configuration:
    configuration: Configuration = {}
    for parameter in space.parameters:
        if not parameter.is_active(configuration):
            continue
        key = _key(parameter)
        value = suggested[key]
        if isinstance(parameter, Categorical):
            # The value of ours that it equals, of Python's own types whatever the Searcher made.
            configuration[parameter.name] = parameter.values[parameter.values.index(value)]
        elif isinstance(parameter, Integer):
            configuration[parameter.name] = min(parameter.max, max(parameter.min, int(value)))
        elif parameter.disabled is not None and not suggested[f"{key} used"]:
            configuration[parameter.name] = parameter.disabled
        else:
            configuration[parameter.name] = min(parameter.max, max(parameter.min, float(value)))
    return configuration


def _point(space: SearchSpace, configuration: Configuration) -> dict[str, Any]:
    """A configuration as the flat point that Ray expects; what is not active is in the middle."""
    point: dict[str, Any] = {}
    for parameter in space.parameters:
        key = _key(parameter)
        active = parameter.is_active(configuration)
        value = configuration[parameter.name] if active else parameter.from_unit(0.75)
        if isinstance(parameter, Continuous) and parameter.disabled is not None:
            used = active and value != parameter.disabled
            point[f"{key} used"] = used
            if not used:
                value = parameter.from_unit(0.75)
        point[key] = value
    return point
