"""What a scheduler is, and the names it can be asked for by."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from ntm_ray.tuning.names import Named, check_name


class Decision(Enum):
    """What becomes of a trial at a rung."""

    CONTINUE = "continue"
    STOP = "stop"


class Scheduler(Protocol):
    """Compares trials at rungs and stops the hopeless ones.

    Made by `factory(max_epochs)`.
    """

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs, rising, at which `decide` must be asked; all below the last epoch."""

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        """Enter a trial's loss at a rung, and say whether it goes on.

        Args:
            trial: The trial's name. Asking again for the same trial and rung, as happens when a
                trial is restarted after a fault, enters nothing and lets it go on.
            rung: One of `rungs`.
            loss: `validation:total_loss`, nats a word, smaller is better; infinite if diverged.
        """


SCHEDULERS = {
    "asha": Named(
        "asynchronous successive halving: at rungs of 1, 3, 9, ... epochs the best third goes on",
        "ntm_ray.tuning.schedulers.asha",
        "ASHA",
    ),
    "none": Named("each trial trains to its end", "ntm_ray.tuning.schedulers.none", "NoScheduler"),
}


def create_scheduler(name: str, max_epochs: int) -> Scheduler:
    """Make the scheduler of this name for trials of at most `max_epochs` epochs.

    Raises:
        JobError: If there is none of this name.
    """
    check_name("scheduler", name, SCHEDULERS)
    scheduler: Scheduler = SCHEDULERS[name].load()(max_epochs)
    return scheduler
