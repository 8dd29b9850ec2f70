"""No early stopping by comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntm_ray.tuning.schedulers.scheduler import Decision, Scheduler

if TYPE_CHECKING:
    from ntm_ray.tuning.space import SearchSpace


class NoScheduler(Scheduler):
    """Lets every trial train to its own end."""

    def __init__(self, max_epochs: int, space: SearchSpace, seed: int) -> None:
        """Take what every scheduler takes; it is the trial's own business here."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """None."""
        return ()

    def decide(self, trial: str, rung: int, loss: float) -> Decision:  # noqa: ARG002
        """Let the trial go on."""
        return Decision.CONTINUE
