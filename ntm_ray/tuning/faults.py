"""What went wrong around trials and was made good: processes and nodes that died, and the like."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntm_ray.tuning.journal import Event


class FaultKind(StrEnum):
    """What happened."""

    PROCESS_DIED = "process_died"
    NODE_LOST = "node_lost"
    OUT_OF_MEMORY = "out_of_memory"
    DRIVER_RESTARTED = "driver_restarted"


@dataclass(frozen=True)
class Fault:
    """One of them.

    Attributes:
        kind: What happened.
        time: When it was noticed, in seconds since 1970.
        trial: The trial that was cut short, if one was.
        node: The address of the node, if it is known.
        said: What was said of it, in one line.
    """

    kind: FaultKind
    time: float
    trial: str | None = None
    node: str | None = None
    said: str | None = None


_WORDS = {
    FaultKind.PROCESS_DIED: ("process died", "processes died"),
    FaultKind.NODE_LOST: ("slot lost with its node", "slots lost with their nodes"),
    FaultKind.OUT_OF_MEMORY: ("trial out of memory", "trials out of memory"),
    FaultKind.DRIVER_RESTARTED: ("restart of the driver", "restarts of the driver"),
}


class FaultLog:
    """The faults of a job, in the order in which the journal has them.

    Attributes:
        faults: They.
        epochs_repeated: Epochs that were reported a second time, after a fault.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.epochs_repeated = 0
        self._has_driver = False

    def note(self, event: Event) -> None:
        """Take in an event of a fault."""
        details = {name: event[name] for name in ("trial", "node", "said")}
        self.faults.append(Fault(FaultKind(event["kind"]), event["time"], **details))

    def driver_begins(self, event: Event) -> None:
        """Take note that a driver begins; one that has not said its end before was killed."""
        if self._has_driver:
            self.faults.append(Fault(FaultKind.DRIVER_RESTARTED, event["time"]))
        self._has_driver = True

    def driver_ends(self, event: Event) -> None:  # noqa: ARG002 - as for every event
        """Take note that a driver ends in good order."""
        self._has_driver = False

    def to_json_dict(self) -> dict[str, int]:
        """How often each kind happened, and how many epochs were trained again."""
        counts = Counter(fault.kind for fault in self.faults)
        by_kind = {str(kind): counts[kind] for kind in FaultKind}
        return by_kind | {"epochs_repeated": self.epochs_repeated}


def faults_in_words(faults: Mapping[str, int]) -> str | None:
    """Say in a line what happened and what it cost; None if nothing did.

    Args:
        faults: As of `FaultLog.to_json_dict`.
    """
    parts = [f"{n} {_WORDS[kind][n > 1]}" for kind in FaultKind if (n := faults[kind])]
    if not parts:
        return None
    epochs = faults["epochs_repeated"]
    return f"{', '.join(parts)}; {epochs} epoch{'s' * (epochs != 1)} trained again"
