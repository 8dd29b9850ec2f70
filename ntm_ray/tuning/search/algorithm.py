"""What a search algorithm is, and the names it can be asked for by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ntm_ray.tuning.handed_over import HandedOver
from ntm_ray.tuning.names import Chosen, Registry

if TYPE_CHECKING:
    from ntm_ray.tuning.space import Configuration, SearchSpace


@dataclass(frozen=True)
class Observation:
    """What is known of a trial at one moment.

    Attributes:
        configuration: What was proposed for it.
        epoch: How many epochs it has trained.
        loss: What the job searches for, less is better: `validation:total_loss`, nats a word, or
            another objective, its sign changed if more of it is better. At `epoch` while the trial
            runs, of its best epoch when it has finished. Infinite for a trial that diverged.
        finished: Whether the trial will train no further.
        stopped: Whether that is the scheduler's doing: what further epochs would have brought is
            not known. Else it trained as long as it would have.
    """

    configuration: Configuration
    epoch: int
    loss: float
    finished: bool
    stopped: bool = False


class Exhausted(Exception):  # noqa: N818 - an end, not an error
    """Raised by `propose` when there is nothing left to try, as at the end of a grid."""


class SearchAlgorithm(Protocol):
    """Proposes configurations for a search space and learns from what became of them.

    Made by `factory(space, seed)`, with `option=value` for what a job says beside the name;
    registered as docs/extending.md shows. What it proposes depends on nothing but these and the
    calls made to it so far: a resumed job makes the same calls again.
    """

    def propose(self, trial: str) -> Configuration:
        """Propose a configuration of the space for a new trial of this name.

        Raises:
            Exhausted: If all that can be tried has been proposed; the search ends then.
        """

    def adopt(self, trial: str, configuration: Configuration) -> None:
        """Take note of a trial whose configuration was chosen elsewhere, in place of propose."""

    def tell(self, trial: str, observation: Observation) -> None:
        """Learn a trial's loss: at every rung it reaches, and once when it has finished."""


SEARCH_ALGORITHMS = Registry("search algorithm", "ntm_ray.search_algorithms")


def create_search_algorithm(
    choice: str | Chosen | HandedOver, space: SearchSpace, seed: int
) -> SearchAlgorithm:
    """Make a search algorithm.

    Args:
        choice: One of `SEARCH_ALGORITHMS`, with or without options; or a Searcher of Ray's.
        space: What is searched.
        seed: Decides the proposals.

    Raises:
        JobError: If there is none of this name, or it cannot be made like this.
    """
    if isinstance(choice, HandedOver):
        from ntm_ray.tuning.search.ray_searcher import RaySearcher

        return RaySearcher(choice.thing, space, seed)
    chosen = Chosen(choice) if isinstance(choice, str) else choice
    named = SEARCH_ALGORITHMS.named(chosen.name)
    algorithm: SearchAlgorithm = named.make(space, seed, **chosen.options)
    return algorithm
