"""The contracts of `ntm_ray.testing` can fail: each of these is wrong in one way."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntm_ray.testing import SchedulerContract, SearchAlgorithmContract
from ntm_ray.tuning.schedulers import Decision, Leg, Scheduler
from ntm_ray.tuning.search.random import Random

if TYPE_CHECKING:
    from ntm_ray.tuning.search import Observation
    from ntm_ray.tuning.space import Configuration, SearchSpace


class KeepsToNoCondition(Random):
    def propose(self, trial: str) -> Configuration:
        return super().propose(trial) | {"num_patience_epochs": 3, "encoder_layers": "auto"}


class NotJSON(Random):
    def propose(self, trial: str) -> Configuration:
        drawn = super().propose(trial)
        return drawn | {"rescale_gradient": np.float64(drawn["rescale_gradient"])}


class OneStream(Random):
    """One stream for all draws: after a resume, it begins anew."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        super().__init__(space, seed)
        self._generator = np.random.default_rng(seed)

    def propose(self, trial: str) -> Configuration:  # noqa: ARG002
        self._proposed += 1
        return self._space.sample(self._generator)


class Unseeded(OneStream):
    def __init__(self, space: SearchSpace, seed: int) -> None:
        super().__init__(space, seed)
        self._generator = np.random.default_rng()


class GlobalRandom(Random):
    def propose(self, trial: str) -> Configuration:
        random.random()
        return super().propose(trial)


class AlwaysTheSame(Random):
    def propose(self, trial: str) -> Configuration:
        self._proposed = 0
        return super().propose(trial)


class GivesUpOnFailure(Random):
    def tell(self, trial: str, observation: Observation) -> None:
        if observation.loss > 1e9:
            raise RuntimeError(trial)


class GoesOverAllResults(Random):
    def __init__(self, space: SearchSpace, seed: int) -> None:
        super().__init__(space, seed)
        self._told: list[float] = []

    def propose(self, trial: str) -> Configuration:
        for _ in range(300):
            sum(self._told)
        return super().propose(trial)

    def tell(self, trial: str, observation: Observation) -> None:  # noqa: ARG002
        self._told.append(observation.loss)


@pytest.mark.parametrize(
    ("wrong", "test", "arguments"),
    [
        (KeepsToNoCondition, "test_it_proposes_configurations_of_the_space", ()),
        (NotJSON, "test_a_proposal_comes_back_from_a_journal", ()),
        (Unseeded, "test_the_same_seed_and_the_same_results", ()),
        (OneStream, "test_a_resumed_search_goes_on", (60, 1)),
        (GlobalRandom, "test_global_random_states_are_neither", ()),
        (AlwaysTheSame, "test_many_pending_trials_do_not_all", (30,)),
        (AlwaysTheSame, "test_whatever_becomes_of_trials", ("trained",)),
        (GivesUpOnFailure, "test_whatever_becomes_of_trials", ("failed",)),
        (GoesOverAllResults, "test_a_proposal_costs_no_more", ()),
    ],
)
def test_a_search_algorithm_that_is_wrong_does_not_pass(
    wrong: type[Random], test: str, arguments: tuple[Any, ...]
) -> None:
    assert fails(type("Wrong", (SearchAlgorithmContract,), {"factory": wrong}), test, arguments)
    assert not fails(
        type("Right", (SearchAlgorithmContract,), {"factory": Random}), test, arguments
    )


class BestSoFar(Scheduler):
    """Lets a trial go on that is the best so far at a rung."""

    rungs: tuple[int, ...] = (1, 3)

    def __init__(self, max_epochs: int, space: SearchSpace, seed: int) -> None:  # noqa: ARG002
        self.rungs = tuple(rung for rung in (1, 3) if rung < max_epochs)
        self._least = dict.fromkeys(self.rungs, float("inf"))
        self._entered: set[tuple[str, int]] = set()

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        if (trial, rung) in self._entered:
            return Decision.CONTINUE
        self._entered.add((trial, rung))
        better = loss < self._least[rung]
        self._least[rung] = min(loss, self._least[rung])
        return Decision.CONTINUE if better else Decision.STOP


class LooksAtTheLastEpoch(BestSoFar):
    def __init__(self, max_epochs: int, space: SearchSpace, seed: int) -> None:
        super().__init__(max_epochs, space, seed)
        self.rungs = (1, max_epochs)


class EntersTwice(BestSoFar):
    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        self._entered.clear()
        return super().decide(trial, rung, loss)


class WantsTheLargest(BestSoFar):
    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        return super().decide(trial, rung, -loss)


class Draws(BestSoFar):
    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        super().decide(trial, rung, loss)
        return Decision.STOP if random.random() < 0.5 else Decision.CONTINUE


class ForgetsThatItPauses(BestSoFar):
    def __init__(self, max_epochs: int, space: SearchSpace, seed: int) -> None:
        super().__init__(max_epochs, space, seed)
        self._waiting: list[str] = []

    def decide(self, trial: str, rung: int, loss: float) -> Decision:  # noqa: ARG002
        if (trial, rung) in self._entered:
            return Decision.CONTINUE
        self._entered.add((trial, rung))
        self._waiting.append(trial)
        return Decision.PAUSE

    def next_leg(self, *, exhausted: bool) -> Leg | None:  # noqa: ARG002
        return Leg(self._waiting.pop()) if self._waiting else None


class ChangesTheNetwork(ForgetsThatItPauses):
    pauses = True

    def begin(self, trial: str, configuration: Configuration) -> None:
        self._configuration = configuration
        super().begin(trial, configuration)

    def next_leg(self, *, exhausted: bool) -> Leg | None:
        leg = super().next_leg(exhausted=exhausted)
        if leg is None:
            return None
        other = not self._configuration.get("batch_norm")
        return Leg(leg.trial, configuration=self._configuration | {"batch_norm": other})


class TakesOverInSecret(ForgetsThatItPauses):
    pauses = True
    takes_over = False

    def next_leg(self, *, exhausted: bool) -> Leg | None:
        leg = super().next_leg(exhausted=exhausted)
        return leg and Leg(leg.trial, source=self._waiting[-1] if self._waiting else None)


class RanksAnew(BestSoFar):
    def __init__(self, max_epochs: int, space: SearchSpace, seed: int) -> None:
        super().__init__(max_epochs, space, seed)
        self._all: list[float] = []

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        self._all.append(loss)
        for _ in range(10):
            self._all = sorted(float(one) for one in self._all)
        return super().decide(trial, rung, loss)


@pytest.mark.parametrize(
    ("wrong", "test", "arguments"),
    [
        (LooksAtTheLastEpoch, "test_rungs_are_rising_epochs", (27,)),
        (EntersTwice, "test_a_rung_asked_about_again", ()),
        (WantsTheLargest, "test_who_is_the_best_at_every_rung", ()),
        (WantsTheLargest, "test_trials_that_diverged_stop_no_sound_one", ()),
        (Draws, "test_the_same_reports_lead_to_the_same_decisions", ()),
        (ForgetsThatItPauses, "test_it_pauses_and_takes_over_only", ()),
        (TakesOverInSecret, "test_it_pauses_and_takes_over_only", ()),
        (ChangesTheNetwork, "test_what_trials_go_on_with_keeps", ()),
        (RanksAnew, "test_a_decision_costs_no_more", ()),
    ],
)
def test_a_scheduler_that_is_wrong_does_not_pass(
    wrong: type[Scheduler], test: str, arguments: tuple[Any, ...]
) -> None:
    assert fails(type("Wrong", (SchedulerContract,), {"factory": wrong}), test, arguments)
    assert not fails(type("Right", (SchedulerContract,), {"factory": BestSoFar}), test, arguments)


def fails(contract: type, test: str, arguments: tuple[Any, ...]) -> bool:
    (name,) = (name for name in dir(contract) if name.startswith(test))
    try:
        getattr(contract(), name)(*arguments)
    except (AssertionError, RuntimeError):
        return True
    return False
