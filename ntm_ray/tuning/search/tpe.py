"""The tree-structured Parzen estimator, by hyperopt, learning at rungs.

Bergstra, Bardenet, Bengio and Kegl, "Algorithms for Hyper-Parameter Optimization" (2011); which
losses it is shown is as in Falkner, Klein and Hutter, "BOHB" (2018), arXiv 1807.01774.
"""

from __future__ import annotations

import math
from bisect import insort
from typing import TYPE_CHECKING, Any

import hyperopt
import numpy as np
from hyperopt import pyll, tpe

from ntm_ray.tuning.search.hyperopt_tree import Tree

if TYPE_CHECKING:
    from ntm_ray.tuning.search.algorithm import Observation
    from ntm_ray.tuning.space import Configuration, SearchSpace

# So many results at a rung make it worth a model.
RESULTS_FOR_A_MODEL = 8
# The share of the results at that rung that counts as good, at most so many.
GOOD_SHARE = 0.2
MOST_GOOD = 25
# What the model sees at most, so that the thousandth proposal costs no more than the hundredth.
MOST_SEEN = 100
# Draws from the model of good configurations, of which the likeliest to be good is proposed.
CANDIDATES = 24
# Where the losses of trials that trained to their own end are kept.
_END = math.inf


class TPE:
    """Models good and bad configurations apart, and proposes where good ones are dense.

    Good are the best at the highest rung that enough trials have reached; losses of different
    epochs are never compared. Bad are the others there, and with them those that were stopped
    before, that diverged or failed, and those that still run: so that no two slots try the same.

    A conditional parameter is a parameter of its own under each value that switches it on: the
    learning rate of adam is modelled apart from that of sgd. `Continuous.disabled` is a choice
    that is modelled before the number is.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._tree = Tree(space)
        self._model = _Model(self._tree)
        # In the order of proposals.
        self._configurations: list[Configuration] = []
        self._chosen: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}
        # At each rung, the loss and the number of each trial that has reached it, best first.
        self._reached: dict[float, list[tuple[float, int]]] = {}

    def propose(self, trial: str) -> Configuration:
        """Propose a configuration: random at first, from the model later."""
        # A seed a proposal, not one stream: a resumed job need not repeat the earlier draws.
        generator = np.random.default_rng([self._seed, len(self._configurations)])
        good, bad = self._good_and_bad()
        if good:
            configuration = self._tree.configuration(self._model.draw(good, bad, generator))
        else:
            configuration = self._space.sample(generator)
        self.adopt(trial, configuration)
        return configuration

    def adopt(self, trial: str, configuration: Configuration) -> None:
        """Enter a configuration as if it had been proposed here."""
        self._chosen.append(self._tree.chosen(configuration))
        self._numbers[trial] = len(self._configurations)
        self._configurations.append(configuration)

    def tell(self, trial: str, observation: Observation) -> None:
        """Enter a trial's loss at a rung, or at its own end."""
        number = self._numbers[trial]
        if observation.configuration != self._configurations[number]:
            self._chosen[number] = self._tree.chosen(observation.configuration)
            self._configurations[number] = observation.configuration
        if observation.finished and math.isinf(observation.loss):
            # However good it was at a rung before, what comes of it is the worst.
            for rung, results in self._reached.items():
                self._reached[rung] = [result for result in results if result[1] != number]
        if observation.stopped:
            return  # at a rung, where its loss is already
        if math.isfinite(observation.loss):
            rung = _END if observation.finished else observation.epoch
            insort(self._reached.setdefault(rung, []), (observation.loss, number))

    def _good_and_bad(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        for rung in sorted(self._reached, reverse=True):
            results = self._reached[rung]
            if len(results) >= RESULTS_FOR_A_MODEL:
                break
        else:
            return [], []
        number_good = min(MOST_GOOD, math.ceil(GOOD_SHARE * len(results)))
        good = sorted(number for _, number in results[:number_good])
        bad: list[int] = []
        number = len(self._chosen)
        while number > 0 and len(bad) < MOST_SEEN - len(good):
            number -= 1
            if number not in good:
                bad.append(number)
        return [self._chosen[n] for n in good], [self._chosen[n] for n in reversed(bad)]


class _Model:
    """hyperopt's two densities of a search space, and draws from where the good one prevails."""

    def __init__(self, tree: Tree) -> None:
        self._labels = tree.labels
        domain = hyperopt.Domain(lambda configuration: configuration, tree.expression)
        self._new_ids, self._generator = domain.s_new_ids, domain.s_rng
        # What `hyperopt.tpe.suggest` builds anew for each proposal; stand-ins for what is seen.
        self._seen = [pyll.Literal() for _ in range(5)]
        self._posterior = tpe.build_posterior(
            domain.vh.v_expr,
            domain.vh.idxs_by_label(),
            domain.vh.vals_by_label(),
            *self._seen,
            pyll.Literal(1.0),
        )

    def draw(
        self,
        good: list[dict[str, Any]],
        bad: list[dict[str, Any]],
        generator: np.random.Generator,
    ) -> dict[str, Any]:
        """Draw hyperopt's raw values by label, given such values of good and bad trials."""
        seen = good + bad
        ids = list(range(len(seen)))
        with_label = {
            label: [number for number in ids if label in seen[number]] for label in self._labels
        }
        values = {
            label: [seen[number][label] for number in numbers]
            for label, numbers in with_label.items()
        }
        losses = [0.0] * len(good) + [1.0] * len(bad)
        # hyperopt takes the gamma * sqrt(n) best; a little less, so as not to round up.
        gamma = (len(good) - 0.5) / math.sqrt(len(seen))
        memo = dict(zip(self._seen, (with_label, values, ids, losses, gamma), strict=True))
        candidates = list(range(len(seen), len(seen) + CANDIDATES))
        memo |= {self._new_ids: candidates, self._generator: generator}
        _, drawn = pyll.rec_eval(self._posterior, memo=memo, print_node_on_error=False)
        return {label: found[0] for label, found in drawn.items() if len(found)}
