"""What a scheduler is, and the names it can be asked for by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from ntm_ray.tuning.handed_over import HandedOver
from ntm_ray.tuning.names import Chosen, Registry

if TYPE_CHECKING:
    from ntm_ray.tuning.space import Configuration, SearchSpace


class Decision(Enum):
    """What becomes of a trial at a rung."""

    CONTINUE = "continue"
    STOP = "stop"
    PAUSE = "pause"


@dataclass(frozen=True)
class Leg:
    """A part of a trial's training, from a pause to its next pause or its end.

    Attributes:
        trial: The paused trial that goes on.
        source: The trial whose training is taken over, as it was when it had trained as many
            epochs as `trial` has; None: its own.
        configuration: The trial's configuration from now on; None: as before.
    """

    trial: str
    source: str | None = None
    configuration: Configuration | None = None


class Scheduler(Protocol):
    """Compares trials at rungs, and says which go on, end, or wait.

    Made by `factory(max_epochs, space, seed)`, with `option=value` for what a job says beside the
    name; registered as docs/extending.md shows. What it decides depends on nothing but these and
    the calls made to it so far: a resumed job makes the same calls again. A class that inherits
    from this one need not define `begin`, nor `pauses` and `next_leg` unless it pauses trials.
    """

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs, rising, at which `decide` must be asked; all below the last epoch."""

    @property
    def pauses(self) -> bool:
        """Whether `decide` may ever pause: then the state of trials is saved at rungs."""
        return False

    def begin(self, trial: str, configuration: Configuration) -> None:  # noqa: ARG002
        """Take note of a new trial before it trains; by default that is nothing to a scheduler."""
        return

    @property
    def takes_over(self) -> bool:
        """Whether a leg may ever name a `source`: then states are kept as long as one might.

        One that pauses and never does should say so: it needs but one state of a paused trial.
        """
        return self.pauses

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        """Enter a trial's loss at a rung, and say what becomes of it.

        A trial that ended by itself is entered at the rungs above too, with its best loss, or an
        infinite one if it diverged or failed; what is said of it then has no effect.

        Args:
            trial: The trial's name. Asking again for the same trial and rung, as happens when a
                trial is restarted after a fault, enters nothing and lets it go on.
            rung: One of `rungs`.
            loss: `validation:total_loss`, nats a word, or another objective of the job, its sign
                changed if more of it is better; infinite if diverged.

        Returns:
            `PAUSE` if the trial gives up its slot while its state is kept for `next_leg`.
        """

    def next_leg(self, *, exhausted: bool) -> Leg | None:  # noqa: ARG002 - for those that pause
        """Say which paused trial goes on now, if any; asked before a new trial is proposed.

        A trial is named once a pause; if it has ended meanwhile, that is passed over. A call that
        returns None changes nothing. A paused trial that is never named ends when nothing else
        is left, as stopped early.

        Args:
            exhausted: Whether there are no new trials left to propose.
        """
        return None


SCHEDULERS = Registry("scheduler", "ntm_ray.schedulers")


def create_scheduler(
    choice: str | Chosen | HandedOver, max_epochs: int, space: SearchSpace, seed: int
) -> Scheduler:
    """Make a scheduler.

    Args:
        choice: One of `SCHEDULERS`, with or without options; or a TrialScheduler of Ray's.
        max_epochs: The most epochs that a trial trains.
        space: What is searched, for schedulers that change configurations.
        seed: For schedulers that draw at random.

    Raises:
        JobError: If there is none of this name, or it cannot be made like this.
    """
    if isinstance(choice, HandedOver):
        from ntm_ray.tuning.schedulers.ray_scheduler import RayScheduler

        return RayScheduler(choice.thing, max_epochs, space, seed)
    chosen = Chosen(choice) if isinstance(choice, str) else choice
    named = SCHEDULERS.named(chosen.name)
    scheduler: Scheduler = named.make(max_epochs, space, seed, **chosen.options)
    return scheduler
