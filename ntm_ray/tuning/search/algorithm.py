"""What a search algorithm is, and the names it can be asked for by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ntm_ray.tuning.names import Named, check_name

if TYPE_CHECKING:
    from ntm_ray.tuning.space import Configuration, SearchSpace


@dataclass(frozen=True)
class Observation:
    """What is known of a trial at one moment.

    Attributes:
        configuration: What was proposed for it.
        epoch: How many epochs it has trained.
        loss: `validation:total_loss`, nats a word: at `epoch` while the trial runs, of its best
            epoch when it has finished. Infinite for a trial that diverged.
        finished: Whether the trial will train no further.
    """

    configuration: Configuration
    epoch: int
    loss: float
    finished: bool


class Exhausted(Exception):  # noqa: N818 - as StopIteration, it is no error
    """Raised by `propose` of a search algorithm that has nothing left to propose."""


class SearchAlgorithm(Protocol):
    """Proposes configurations for a search space and learns from what became of them.

    Made by `factory(space, seed)`. What it proposes depends on nothing but the space, the seed
    and the calls made to it so far: a resumed job makes the same calls again.
    """

    def propose(self, trial: str) -> Configuration:
        """Propose a configuration of the space for a new trial of this name.

        Raises:
            Exhausted: If there is none left, as in a finite grid; the job ends with what it has.
        """

    def adopt(self, trial: str, configuration: Configuration) -> None:
        """Take note of a trial whose configuration was chosen elsewhere, in place of propose."""

    def tell(self, trial: str, observation: Observation) -> None:
        """Learn a trial's loss: at every rung it reaches, and once when it has finished."""


SEARCH_ALGORITHMS = {
    "random": Named(
        "independent draws from the search space", "ntm_ray.tuning.search.random", "Random"
    ),
    "tpe": Named(
        "tree-structured Parzen estimator, by hyperopt", "ntm_ray.tuning.search.tpe", "TPE"
    ),
}


def create_search_algorithm(name: str, space: SearchSpace, seed: int) -> SearchAlgorithm:
    """Make the search algorithm of this name.

    Raises:
        JobError: If there is none of this name.
    """
    check_name("search algorithm", name, SEARCH_ALGORITHMS)
    algorithm: SearchAlgorithm = SEARCH_ALGORITHMS[name].load()(space, seed)
    return algorithm
