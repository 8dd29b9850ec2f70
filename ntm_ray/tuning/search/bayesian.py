"""Bayesian optimization: a Gaussian process, and the expected improvement that it sees.

The process is scikit-learn's, which the corpus floor needs anyway, so this costs no extra. Of the
others looked at, bayesian-optimization is a layer over the same process that knows no conditions,
and Optuna's GPSampler draws conditional parameters at random, beside the model.

Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions" (1998);
pending trials are believed to come to what is predicted for them (Ginsbourger, Le Riche and
Carraro 2010, "Kriging believer").
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import fmin_l_bfgs_b
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from threadpoolctl import threadpool_limits

from ntm_ray.tuning.search.dimensions import configuration_at, units_of
from ntm_ray.tuning.search.evidence import Evidence
from ntm_ray.tuning.search.sobol import Sobol
from ntm_ray.tuning.space import Categorical, Continuous

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from ntm_ray.tuning.search.algorithm import Observation
    from ntm_ray.tuning.space import Configuration, SearchSpace

    Array = npt.NDArray[np.float64]

STARTUP_TRIALS = 10
# A process of n results costs n cubed.
MOST_RESULTS = 100
# Points of which the one with the largest expected improvement is proposed: some anywhere, and
# some that differ from one of the best in a few parameters.
CANDIDATES_ANYWHERE = 300
CANDIDATES_NEARBY = 300
NEARBY_OF = 5
# Evaluations of the likelihood; the lengths of the scales need not be exact.
MOST_STEPS = 25


class Bayesian:
    """A Gaussian process of the loss; proposes where it expects the largest improvement.

    The first proposals are a Sobol sequence. Then the results of the highest rung that has enough
    are modelled, each parameter with a length scale of its own.
    """

    def __init__(
        self, space: SearchSpace, seed: int, *, startup_trials: int = STARTUP_TRIALS
    ) -> None:
        """Start with nothing.

        Args:
            space: What is searched.
            seed: Decides the proposals.
            startup_trials: How many results come before the first model.
        """
        self._space = space
        self._seed = seed
        self._first = Sobol(space, seed)
        self._evidence = Evidence(startup_trials)
        self._proposed = 0

    def propose(self, trial: str) -> Configuration:
        """Propose the candidate with the largest expected improvement."""
        results = self._evidence.results(MOST_RESULTS)
        if results and self._space.parameters:
            random = np.random.default_rng([self._seed, self._proposed])
            # The matrices are small, and the cores are busy with trials: threads only wait.
            with threadpool_limits(1):
                configuration = self._most_promising(results, random)
        else:
            configuration = self._first.point(self._proposed)
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

    def _most_promising(
        self, results: list[tuple[Configuration, float]], random: np.random.Generator
    ) -> Configuration:
        pending = self._evidence.pending()
        known = [configuration for configuration, _ in results]
        losses = _standardized([loss for _, loss in results])
        places = self._places(known)
        process = _fitted(places, losses)
        if pending:
            waiting = self._places(pending)
            believed = process.predict(waiting)
            process = _fitted(
                np.vstack([places, waiting]),
                np.concatenate([losses, believed]),
                kernel=process.kernel_,
            )
        candidates = self._candidates(known, losses, random)
        new = [candidate for candidate in candidates if candidate not in known + pending]
        candidates = new or candidates
        mean, deviation = process.predict(self._places(candidates), return_std=True)
        gain = _expected_improvement(mean, deviation, float(losses.min()))
        return candidates[int(np.argmax(gain))]

    def _candidates(
        self, known: list[Configuration], losses: Array, random: np.random.Generator
    ) -> list[Configuration]:
        candidates = [self._space.sample(random) for _ in range(CANDIDATES_ANYWHERE)]
        best = [known[index] for index in np.argsort(losses, kind="stable")[:NEARBY_OF]]
        dimensions = len(self._space.parameters)
        for number in range(CANDIDATES_NEARBY):
            units = random.random(dimensions)
            changed = random.random(dimensions) < 2 / dimensions
            reach = 10 ** random.uniform(-3, -0.5)
            for index, unit in enumerate(units_of(self._space, best[number % len(best)])):
                # What was not active has no place to stay at.
                if unit is None:
                    continue
                if not changed[index]:
                    units[index] = unit
                elif not isinstance(self._space.parameters[index], Categorical):
                    units[index] = _reflected(unit + reach * random.normal())
            candidates.append(configuration_at(self._space, units.tolist()))
        return candidates

    def _places(self, configurations: Sequence[Configuration]) -> Array:
        """Configurations as the process sees them: (configurations, features)."""
        return np.array([self._features(configuration) for configuration in configurations])

    def _features(self, configuration: Configuration) -> list[float]:
        features: list[float] = []
        for parameter, unit in zip(
            self._space.parameters, units_of(self._space, configuration), strict=True
        ):
            if isinstance(parameter, Categorical):
                # Any two values are 1 apart.
                value = configuration[parameter.name] if unit is not None else None
                features += [(value == one) / math.sqrt(2) for one in parameter.values]
            elif isinstance(parameter, Continuous) and parameter.disabled is not None:
                used = unit is not None and unit >= 0.5
                features += [float(used), 2 * unit - 1 if unit is not None and used else 0.5]
            else:
                # What is not active is all the same, in the middle.
                features.append(0.5 if unit is None else unit)
        return features


def _standardized(losses: Sequence[float]) -> Array:
    """Losses with mean 0 and deviation 1, the worst brought near to the others first.

    A few that are far off, or diverged, would leave no difference between those that matter.
    """
    values = np.array(losses)
    trained = values[np.isfinite(values)]
    low, middle = np.quantile(trained, [0.0, 0.5])
    capped = np.minimum(values, middle + 2 * (middle - low) + 1e-9)
    return np.asarray((capped - capped.mean()) / (capped.std() + 1e-12), dtype=np.float64)


def _fitted(places: Array, losses: Array, kernel: Any = None) -> GaussianProcessRegressor:
    """A process over these losses, with a given kernel or the likeliest one."""
    optimizer = None
    if kernel is None:
        scales = Matern(np.ones(places.shape[1]), length_scale_bounds=(0.1, 20.0), nu=2.5)
        kernel = ConstantKernel(1.0, (0.1, 10.0)) * scales + WhiteKernel(0.01, (1e-4, 0.5))
        optimizer = _likeliest
    process = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=optimizer)
    with warnings.catch_warnings():
        # That a scale is at its bound: the parameter does not matter, which is well.
        warnings.simplefilter("ignore")
        return process.fit(places, losses)


def _likeliest(
    objective: Callable[..., Any], initial: Array, bounds: Array
) -> tuple[Array, float]:
    found, least, _ = fmin_l_bfgs_b(
        objective, initial, bounds=[(low, high) for low, high in bounds], maxfun=MOST_STEPS
    )
    return found, float(least)


def _expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    deviation = np.maximum(deviation, 1e-9)
    better = (best - mean) / deviation
    return np.asarray(deviation * (better * norm.cdf(better) + norm.pdf(better)))


def _reflected(unit: float) -> float:
    """Bring a number back into [0, 1) that has gone over an end."""
    unit = abs(unit) % 2
    return min(2 - unit if unit >= 1 else unit, math.nextafter(1.0, 0.0))
