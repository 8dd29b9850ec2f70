"""The nodes of the Ray that a job runs on, as far as their slots are concerned."""

from __future__ import annotations

from typing import Any

import ray

UNLIMITED = 1 << 60
"""What trials may take of a node's memory where Ray cannot say; it limits nothing."""


class Nodes:
    """What is asked of Ray; a test can answer in its place."""

    def share(self, thing: Any) -> Any:
        """Put something into shared memory: here once, and once on each node that asks for it."""
        return ray.put(thing)

    def is_alive(self, node: str) -> bool:
        """Whether Ray takes a node for alive.

        Args:
            node: Ray's name of it.
        """
        return self._of(node).get("Alive", False) is True

    def memory(self, node: str) -> int:
        """What Ray may give away of a node's memory, bytes."""
        return int(self._of(node).get("Resources", {}).get("memory", UNLIMITED))

    def _of(self, node: str) -> dict[str, Any]:
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        return next((one for one in nodes if one["NodeID"] == node), {})
