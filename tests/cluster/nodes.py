"""A Ray cluster of `ray start` nodes, each on a `Machine` of its own, with token authentication."""

from __future__ import annotations

import os
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.network import Machine, Network

if TYPE_CHECKING:
    import subprocess

REPOSITORY = Path(__file__).parents[2]
PORT = 6379
_OBJECT_STORE_BYTES = 100 * 2**20
_STATE_OF_NODES = """
import json, ray
from ray.util.state import list_nodes
ray.init(address="auto", logging_level="error")
print(json.dumps({n["NodeManagerHostname"]: n["Alive"] for n in ray.nodes()}))
"""


class RayCluster:
    """A head and other nodes, which come and go.

    Attributes:
        head: The machine of the head; it has no CPU for trials, as heads should not.
        nodes: The other machines by name.
    """

    def __init__(self, network: Network, folder: Path, nodes: int) -> None:
        """Start a head and so many nodes, and wait until the head knows them all.

        Args:
            network: Where the machines are put.
            folder: For the token file.
            nodes: How many nodes, named `node-1` and so on.
        """
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(16))
        self._network = network
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(REPOSITORY),
        }
        self.head = network.add("head")
        self.nodes: dict[str, Machine] = {}
        self.start_head()
        names = [f"node-{number}" for number in range(1, nodes + 1)]
        for name in names:
            self.nodes[name] = network.add(name)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.start_node, names))

    def start_head(self) -> None:
        """Start Ray on the head's machine."""
        self._ray_start(
            self.head,
            "--head",
            f"--port={PORT}",
            "--num-cpus=0",
            "--include-dashboard=false",
            "--disable-usage-stats",
        )

    def start_node(self, name: str) -> None:
        """Start Ray on the machine of a node, which is made if there is none."""
        if name not in self.nodes:
            self.nodes[name] = self._network.add(name)
        self._ray_start(
            self.nodes[name], f"--address={self.head.address}:{PORT}", "--num-cpus=1"
        )

    def _ray_start(self, machine: Machine, *arguments: str) -> None:
        machine.run(
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            f"--node-ip-address={machine.address}",
            f"--object-store-memory={_OBJECT_STORE_BYTES}",
            *arguments,
            environment=self.environment,
        )

    def driver(self, *arguments: str | Path, folder: Path = REPOSITORY) -> subprocess.Popen[str]:
        """Start `ntm-ray` on the head's machine."""
        command = [sys.executable, "-m", "ntm_ray", *arguments]
        return self.head.start(*command, environment=self.environment, folder=folder)
