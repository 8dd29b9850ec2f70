"""What every search algorithm must keep to."""

from __future__ import annotations

import json
import math
import random
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from ntm_ray.model import Hyperparameters
from ntm_ray.testing.cost import median_seconds
from ntm_ray.testing.spaces import EVERYTHING, FEW, NOTHING, made_up_loss
from ntm_ray.tuning.search import Exhausted, Observation, SearchAlgorithm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ntm_ray.tuning.space import Configuration, SearchSpace

LAST_EPOCHS = {
    "trained": 27,
    "stopped early": 3,
    "ended by itself": 5,
    "ended by itself at a rung": 9,
    "diverged": 2,
    "failed": 1,
}
FATES = tuple(LAST_EPOCHS)
# A cost that grows with the number of results grows tenfold from 100 to 1,000.
MOST_GROWTH = 4.0
NEGLIGIBLE_SECONDS = 0.0002

# What happens in a search: ("propose", trial, configuration) and ("tell", trial, observation).
Event = tuple[str, str, Any]


class SearchAlgorithmContract:
    """Subclass it, under a name that begins with `Test`, and set `factory`.

    Attributes:
        factory: Called as `factory(space, seed)`: the class of the search algorithm, or a
            function that makes one.
    """

    factory: ClassVar[Callable[..., Any]]

    def make(self, space: SearchSpace = EVERYTHING, seed: int = 1) -> SearchAlgorithm:
        """Make one to test."""
        algorithm: SearchAlgorithm = type(self).factory(space, seed)
        return algorithm

    def test_it_proposes_configurations_of_the_space_under_its_conditions(self) -> None:
        for configuration in _proposed(_search(self.make(), 40)):
            assert EVERYTHING.contains(configuration)
            Hyperparameters.parse({"feature_dim": 10, "num_topics": 5} | configuration)

    def test_a_proposal_comes_back_from_a_journal_as_it_was(self) -> None:
        for configuration in _proposed(_search(self.make(), 20)):
            back = json.loads(json.dumps(configuration))
            assert back == configuration
            assert [type(v) for v in back.values()] == [type(v) for v in configuration.values()]

    def test_the_same_seed_and_the_same_results_lead_to_the_same_proposals(self) -> None:
        assert list(_search(self.make(seed=3), 20)) == list(_search(self.make(seed=3), 20))

    def test_global_random_states_are_neither_used_nor_touched(self) -> None:
        def states() -> tuple[Any, ...]:
            kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - it is what is looked at
            return random.getstate(), kind, np.asarray(keys).tolist(), rest

        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        before = states()
        one = list(_search(self.make(), 15))
        assert states() == before
        random.seed(2)
        np.random.seed(2)  # noqa: NPY002
        assert list(_search(self.make(), 15)) == one

    @pytest.mark.parametrize("slots", [1, 3])
    @pytest.mark.parametrize("cut", [1, 20, 60, 90])
    def test_a_resumed_search_goes_on_as_if_it_had_not_been_cut(
        self, cut: int, slots: int
    ) -> None:
        events = list(_search(self.make(), 30, slots=slots))
        resumed = self.make()
        for number, (step, trial, content) in enumerate(events):
            if step == "tell":
                resumed.tell(trial, content)
            elif number < cut:
                resumed.adopt(trial, json.loads(json.dumps(content)))
            else:
                assert resumed.propose(trial) == content

    def test_configurations_chosen_elsewhere_are_taken_in(self) -> None:
        algorithm = self.make()
        generator = np.random.default_rng(4)
        for number in range(12):
            configuration = EVERYTHING.sample(generator)
            algorithm.adopt(f"{number:04d}", configuration)
            _tell(algorithm, f"{number:04d}", configuration, "trained")
        for configuration in _proposed(_search(algorithm, 5, first=12)):
            assert EVERYTHING.contains(configuration)

    @pytest.mark.parametrize("fate", FATES)
    def test_whatever_becomes_of_trials_the_search_goes_on(self, fate: str) -> None:
        proposed = list(_proposed(_search(self.make(), 25, fates=(fate,))))
        assert all(EVERYTHING.contains(configuration) for configuration in proposed)
        assert len({json.dumps(configuration) for configuration in proposed}) > 12

    def test_a_rung_told_twice_after_a_restart_does_no_harm(self) -> None:
        algorithm = self.make()
        configuration = algorithm.propose("0000")
        for _ in range(2):
            algorithm.tell("0000", Observation(configuration, 1, 7.0, finished=False))
        algorithm.tell("0000", Observation(configuration, 9, 6.5, finished=True))
        assert EVERYTHING.contains(algorithm.propose("0001"))

    @pytest.mark.parametrize("results", [0, 5, 30])
    def test_many_pending_trials_do_not_all_try_the_same(self, results: int) -> None:
        algorithm = self.make(FEW)
        list(_search(algorithm, results, fates=("trained",)))
        pending = []
        for number in range(12):
            try:
                pending.append(json.dumps(algorithm.propose(f"{results + number:04d}")))
            except Exhausted:
                break
        assert len(set(pending)) >= len(pending) / 2, pending

    def test_a_space_with_nothing_to_search_has_one_configuration(self) -> None:
        assert all(drawn == {} for drawn in _proposed(_search(self.make(NOTHING), 15)))

    def test_a_proposal_costs_no_more_after_a_thousand_results_than_after_a_hundred(self) -> None:
        early = self._seconds_a_proposal(100)
        late = self._seconds_a_proposal(1000)
        assert late <= MOST_GROWTH * max(early, NEGLIGIBLE_SECONDS), (early, late)

    def _seconds_a_proposal(self, results: int) -> float:
        algorithm = self.make()
        generator = np.random.default_rng(5)
        for number in range(results):
            configuration = EVERYTHING.sample(generator)
            trial = f"{number:04d}"
            algorithm.adopt(trial, configuration)
            _tell(algorithm, trial, configuration, FATES[number % len(FATES)])
        names = iter(range(results, results + 100))
        return median_seconds(lambda: algorithm.propose(f"{next(names):04d}"))


def _search(
    algorithm: SearchAlgorithm,
    trials: int,
    *,
    slots: int = 1,
    fates: tuple[str, ...] = FATES,
    first: int = 0,
) -> Iterator[Event]:
    """Carry a search out, and yield what happens in it."""
    running: list[tuple[int, list[Observation]]] = []
    for number in range(first, first + trials):
        try:
            configuration = algorithm.propose(f"{number:04d}")
        except Exhausted:
            break
        yield "propose", f"{number:04d}", configuration
        running.append((number, _course(configuration, fates[number % len(fates)])))
        # With several slots all are at some rung, and the newest may end first.
        while len(running) >= slots:
            for place, (one, course) in reversed(list(enumerate(running))):
                observation = course.pop(0)
                algorithm.tell(f"{one:04d}", observation)
                yield "tell", f"{one:04d}", observation
                if not course:
                    del running[place]


def _proposed(events: Iterator[Event]) -> Iterator[Configuration]:
    for step, _, content in events:
        if step == "propose":
            yield content


def _course(configuration: Configuration, fate: str) -> list[Observation]:
    """What is told of a trial, up to its end."""
    loss = made_up_loss(configuration)
    end = LAST_EPOCHS[fate]
    course = [
        Observation(configuration, rung, loss + 1 / rung, finished=False)
        for rung in (1, 3, 9)
        if rung <= end
    ]
    best = math.inf if fate in {"diverged", "failed"} else loss + 1 / end
    stopped = fate == "stopped early"
    return [*course, Observation(configuration, end, best, finished=True, stopped=stopped)]


def _tell(algorithm: SearchAlgorithm, trial: str, configuration: Configuration, fate: str) -> None:
    for observation in _course(configuration, fate):
        algorithm.tell(trial, observation)
