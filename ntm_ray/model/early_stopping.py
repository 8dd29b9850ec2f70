"""When training stops by itself: the rule of SageMaker NTM's container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class EarlyStopping:
    """Stops once the loss has not fallen enough for ``patience + 1`` epochs in a row.

    The rule was worked out from the logs of SageMaker's container, which it repeats epoch by
    epoch: a loss is compared to the least of the ``patience`` losses before it, and counts as
    bad when it is not below by more than ``tolerance``, which is absolute. The first
    ``patience`` epochs are never bad.

    Args:
        patience: Number of earlier losses that a loss is compared to.
        tolerance: Least fall that counts, in the unit of the loss (nats a word).
    """

    def __init__(self, patience: int, tolerance: float) -> None:
        self.patience = patience
        self.tolerance = tolerance
        self._window: list[float] = []
        self._bad = 0

    def update(self, loss: float) -> bool:
        """Take the loss of one more epoch and return whether training should stop now."""
        if len(self._window) == self.patience:
            improved = min(self._window) - loss > self.tolerance
            self._bad = 0 if improved else self._bad + 1
            del self._window[0]
        self._window.append(loss)
        return self._bad > self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs to go on from here, as plain JSON values."""
        return {"window": list(self._window), "bad": self._bad}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned."""
        self._window = [float(loss) for loss in state["window"]]
        self._bad = int(state["bad"])
