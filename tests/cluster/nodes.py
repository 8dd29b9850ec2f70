"""A Ray cluster of `ray start` nodes, each on a `Machine` of its own, with a token."""

from __future__ import annotations

import os
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.loopback_s3 import ENVIRONMENT

if TYPE_CHECKING:
    import subprocess

    from tests.cluster.network import Machine, Network

REPOSITORY = Path(__file__).parents[2]
PORT = 6379
_OBJECT_STORE_BYTES = 100 * 2**20
# Words of the command lines of Ray's own processes on a machine, not of drivers.
_OF_RAY = ("/ray/core/", "/ray/_private/", "/ray/dashboard/", "/ray/autoscaler/", "ray::")
_CLIENT_SERVER = "ray.util.client.server"


class RayCluster:
    """A head and other nodes, which come and go.

    Attributes:
        head: The machine of the head; it has no CPU for trials, as heads should not.
        nodes: The other machines by name.
        network: What joins them.
        environment: What all of Ray's processes, and drivers, are started with.
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
        self.network = network
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(REPOSITORY),
            **ENVIRONMENT,
        }
        self.head = network.add("head")
        self.nodes: dict[str, Machine] = {}
        self.start_head()
        self._missing = [f"node-{number}" for number in range(1, nodes + 1)]
        self.bring_back_all()

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
            self.nodes[name] = self.network.add(name)
        self._ray_start(self.nodes[name], f"--address={self.head.address}:{PORT}", "--num-cpus=1")

    def bring_back_all(self) -> None:
        """Start Ray again on the nodes that have been killed, and wait until the head knows."""
        for name in self._missing:
            if name not in self.nodes:
                self.nodes[name] = self.network.add(name)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.start_node, self._missing))
        self._missing = []

    def kill_node(self, name: str) -> None:
        """Kill all of Ray on a node at once; its machine stays up, and says so to its peers."""
        self.nodes[name].kill(*_OF_RAY)
        self._missing.append(name)

    def lose_power(self, name: str) -> None:
        """End a node's machine without a word to anybody."""
        self.network.remove(self.nodes.pop(name))
        self._missing.append(name)

    def remove(self, name: str) -> None:
        """End a node's machine for good, with its Ray first, so that the head hears of it.

        As long as the head takes a silent node for one that is there, it may wait for it to take a
        slot, and starts none elsewhere.
        """
        self.nodes[name].kill(*_OF_RAY)
        self.network.remove(self.nodes.pop(name))

    def kill_head(self) -> None:
        """Kill all of Ray on the head, but no driver there."""
        self.head.kill(*_OF_RAY, _CLIENT_SERVER)

    def restart(self) -> None:
        """Start the head again, and then the nodes, with nothing left of what was before."""
        self.start_head()
        for name, node in self.nodes.items():
            node.kill(*_OF_RAY)
            self._missing.append(name)
        self.bring_back_all()

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
