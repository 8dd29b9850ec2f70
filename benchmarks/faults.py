"""How long a job takes to get over a fault, and what it trains again.

    python -m benchmarks.faults [FAULT ...] [--times 3]

Needs the right to make network namespaces: the cluster is a head without CPUs and three nodes with
one each, on machines of `tests/cluster`. The job saves what trials go on from every half second.

Time to recover: from the fault to the first new epoch of a trial that it cut short; where the
driver ended, from when it is resumed; for a node that joins, from its `ray start` to a process
that trains there. Work repeated: epochs that were reported a second time.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.network import Network, started_by
from tests.cluster.nodes import RayCluster
from tests.end_to_end.faulty_jobs import (
    assert_nothing_is_lost_repeated_or_changed,
    ended,
    events,
    job_in,
    running,
    wait_for,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

NODES = 3
CUT_SECONDS = 30


@dataclass
class Running:
    """A job at work on a cluster."""

    cluster: RayCluster
    storage: Path
    driver: subprocess.Popen[str]

    @property
    def folder(self) -> Path:
        """Its job folder."""
        return self.storage / "job"

    def resume(self) -> None:
        """Go on with it, in a new driver."""
        self.driver = self.cluster.driver("tune", "--resume", self.folder, "--address", "auto")

    def finish(self) -> None:
        """Wait for its end."""
        _, errors = self.driver.communicate()
        if self.driver.returncode:
            raise SystemExit(errors)


def process_killed(job: Running) -> float:
    """Kill a process that trains."""
    begun = time.time()
    job.cluster.nodes["node-1"].kill("ray::Slot")
    job.finish()
    return new_epoch_of_affected(job, begun)


def node_killed(job: Running) -> float:
    """Kill a node's raylet and its processes."""
    begun = time.time()
    job.cluster.kill_node("node-1")
    job.finish()
    return new_epoch_of_affected(job, begun)


def power_lost(job: Running) -> float:
    """End a node's machine without a word."""
    begun = time.time()
    job.cluster.lose_power("node-1")
    job.finish()
    return new_epoch_of_affected(job, begun)


def node_added(job: Running) -> float:
    """Let a node join."""
    begun = time.time()
    job.cluster.start_node("node-4")
    node = job.cluster.nodes["node-4"]
    wait_for(lambda: any("ray::Slot" in line for line in node.processes().values()), job.driver)
    seconds = time.time() - begun
    job.finish()
    job.cluster.remove("node-4")
    return seconds


def network_cut(job: Running) -> float:
    """Cut a node off for half a minute."""
    begun = time.time()
    with job.cluster.network.away(job.cluster.nodes["node-1"]):
        time.sleep(CUT_SECONDS)
    job.finish()
    return new_epoch_of_affected(job, begun)


def driver_killed(job: Running) -> float:
    """Kill the driver, and resume at once."""
    at_work = running(job.folder)
    os.kill(started_by(job.driver), signal.SIGKILL)
    job.driver.communicate()
    begun = time.time()
    job.resume()
    job.finish()
    return new_epoch(job, begun, at_work)


def head_restarted(job: Running) -> float:
    """Kill the head, wait until the driver ends, start head and nodes again, and resume."""
    at_work = running(job.folder)
    job.cluster.kill_head()
    job.driver.communicate()
    job.cluster.restart()
    begun = time.time()
    job.resume()
    job.finish()
    return new_epoch(job, begun, at_work)


FAULTS: dict[str, Callable[[Running], float]] = {
    "process-killed": process_killed,
    "node-killed": node_killed,
    "power-lost": power_lost,
    "node-added": node_added,
    "network-cut": network_cut,
    "driver-killed": driver_killed,
    "head-restarted": head_restarted,
}


def new_epoch_of_affected(job: Running, begun: float) -> float:
    """Seconds from a time on to a new epoch of a trial that a fault has cut short."""
    faults = [event for event in events(job.folder) if event["event"] == "fault"]
    affected = {event["trial"] for event in faults if event["time"] >= begun}
    return new_epoch(job, begun, affected, after=min((e["time"] for e in faults), default=begun))


def new_epoch(job: Running, begun: float, trials: set[str], after: float | None = None) -> float:
    """Seconds from a time on to a new epoch of one of some trials."""
    times = [
        event["time"]
        for event in events(job.folder)
        if event["event"] == "report" and event["trial"] in trials and event["epochs"]
        if event["time"] > (after or begun)
    ]
    return min(times, default=begun) - begun


def carry_out(cluster: RayCluster, fault: str) -> tuple[float, dict[str, Any]]:
    """Have a fault befall a job; returns the seconds to recover, and what the job says of it."""
    cluster.bring_back_all()
    with tempfile.TemporaryDirectory() as storage:
        file = Path(storage, "job.yaml")
        file.write_text(job_in(storage).to_yaml(), encoding="utf-8")
        job = Running(cluster, Path(storage), cluster.driver("tune", file, "--address", "auto"))
        wait_for(lambda: len(ended(job.folder)) > 0, job.driver)
        wait_for(lambda: len(running(job.folder)) >= NODES - 1, job.driver)
        seconds = FAULTS[fault](job)
        return seconds, assert_nothing_is_lost_repeated_or_changed(job.folder)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    given.faults = given.faults or list(FAULTS)
    if unknown := set(given.faults) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    job = job_in("nowhere")
    print(f"python -m benchmarks.faults {' '.join(given.faults)} --times {given.times}\n")
    print("| fault | time to recover, s | epochs trained again, of "
          f"{job.trials * job.epochs:,} |")  # fmt: skip
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
        cluster = RayCluster(network, Path(folder), NODES)
        for fault in given.faults:
            seconds, repeated = [], []
            for _ in range(given.times):
                took, faults = carry_out(cluster, fault)
                seconds.append(took)
                repeated.append(faults["epochs_repeated"])
            print(
                f"| {fault} | {statistics.median(seconds):.1f} "
                f"({min(seconds):.1f} to {max(seconds):.1f}) | "
                f"{statistics.median(repeated):.0f} ({min(repeated)} to {max(repeated)}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
