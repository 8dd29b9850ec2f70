"""No early stopping by comparison."""

from __future__ import annotations

from ntm_ray.tuning.schedulers.scheduler import Decision


class NoScheduler:
    """Lets every trial train to its own end."""

    rungs: tuple[int, ...] = ()

    def __init__(self, max_epochs: int) -> None:
        """Take the budget, as every scheduler does; it is the trial's own business here."""

    def decide(self, trial: str, rung: int, loss: float) -> Decision:  # noqa: ARG002
        """Let the trial go on."""
        return Decision.CONTINUE
