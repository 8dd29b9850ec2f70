"""How long a job takes to get over a fault, and what it trains again.

    python -m benchmarks.faults [FAULT ...] [--times 3]

Needs the right to make network namespaces: the cluster is a head without CPUs and three nodes with
one each, on machines of `tests/cluster`, a new one each time. The job saves what trials go on from
every half second.

Time to recover: from the fault until every trial that ran then has reported a new epoch; where the
driver ended, from when it is resumed; for a node that joins, from its `ray start` to a process
that trains there. Work repeated: epochs that were reported a second time;
what a process had not reported yet, at most half a second's, is not known.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.network import Network, started_by
from tests.cluster.nodes import RayCluster
from tests.cluster.store import Store, fetched_job
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
STORE_AWAY_SECONDS = 20
# What a trial had reported just before a fault may be in the journal just after it.
ON_ITS_WAY_SECONDS = 0.5


@dataclass
class Running:
    """A job at work on a cluster.

    Attributes:
        cluster: Where it runs.
        folder: Where its job folder is, or is fetched to.
        driver: Its driver.
        store: Where its job folder is instead, if it is not here.
        at_work: The trials that were cut short, if any were.
    """

    cluster: RayCluster
    folder: Path
    driver: subprocess.Popen[str]
    store: Store | None
    at_work: set[str] = field(default_factory=set)

    def look(self) -> Path:
        """Its job folder, as it is now."""
        if self.store is not None:
            fetched_job(self.store, self.folder)
        return self.folder

    def resume(self) -> None:
        """Go on with it, in a new driver."""
        self.at_work = running(self.folder)
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
    return begun


def node_killed(job: Running) -> float:
    """Kill a node's raylet and its processes."""
    begun = time.time()
    job.cluster.kill_node("node-1")
    return begun


def power_lost(job: Running) -> float:
    """End a node's machine without a word."""
    begun = time.time()
    job.cluster.lose_power("node-1")
    return begun


def node_added(job: Running) -> float:
    """Let a node join."""
    begun = time.time()
    job.cluster.start_node("node-4")
    node = job.cluster.nodes["node-4"]
    wait_for(lambda: any("ray::Slot" in line for line in node.processes().values()), job.driver)
    return begun


def network_cut(job: Running) -> float:
    """Cut a node off for half a minute."""
    begun = time.time()
    with job.cluster.network.away(job.cluster.nodes["node-1"]):
        time.sleep(CUT_SECONDS)
    return begun


def store_away(job: Running) -> float:
    """Cut the store off for 20 s."""
    assert job.store is not None
    begun = time.time()
    with job.cluster.network.away(job.store.machine):
        time.sleep(STORE_AWAY_SECONDS)
    return begun


def driver_killed(job: Running) -> float:
    """Kill the driver, and resume at once."""
    os.kill(started_by(job.driver), signal.SIGKILL)
    job.driver.communicate()
    begun = time.time()
    job.resume()
    return begun


def head_restarted(job: Running) -> float:
    """Kill the head, wait until the driver ends, start head and nodes again, and resume."""
    job.cluster.kill_head()
    job.driver.communicate()
    job.cluster.restart()
    begun = time.time()
    job.resume()
    return begun


FAULTS: dict[str, Callable[[Running], float]] = {
    "process-killed": process_killed,
    "node-killed": node_killed,
    "power-lost": power_lost,
    "node-added": node_added,
    "network-cut": network_cut,
    "store-away": store_away,
    "driver-killed": driver_killed,
    "head-restarted": head_restarted,
}


def recovered(job: Running, begun: float) -> float:
    """Seconds from a time on until all trials that were at work have reported a new epoch."""
    first = dict[str, float]()
    for event in events(job.folder):
        late = event["time"] > begun + ON_ITS_WAY_SECONDS
        if late and event["event"] == "report" and event["epochs"]:
            first.setdefault(event["trial"], event["time"])
    # If none was cut short, as where all had ended until the driver did, it is the next one.
    cut_short = job.at_work & first.keys()
    return (max(first[name] for name in cut_short) if cut_short else min(first.values())) - begun


def carry_out(fault: str) -> tuple[float, int]:
    """Have a fault befall a job; returns the seconds to recover, and the epochs repeated."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        storage = folder / "runs"
        storage.mkdir()
        network = stack.enter_context(Network(folder))
        cluster = RayCluster(network, folder, NODES)
        store = Store(network, cluster.environment) if fault == "store-away" else None
        file = storage / "job.yaml"
        place = storage if store is None else store.uri("runs")
        file.write_text(job_in(place).to_yaml(), encoding="utf-8")
        driver = cluster.driver("tune", file, "--address", "auto")
        job = Running(cluster, storage / "job", driver, store)
        wait_for(lambda: len(ended(job.look())) > 0, driver)
        wait_for(lambda: len(running(job.look())) >= NODES - 1, driver)
        job.at_work = running(job.folder)
        begun = FAULTS[fault](job)
        seconds = time.time() - begun
        job.finish()
        faults = assert_nothing_is_lost_repeated_or_changed(job.look())
        if fault != "node-added":
            seconds = recovered(job, begun)
        return seconds, faults["epochs_repeated"]


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
    for fault in given.faults:
        seconds, repeated = [], []
        for _ in range(given.times):
            took, again = carry_out(fault)
            seconds.append(took)
            repeated.append(again)
        print(
            f"| {fault} | {statistics.median(seconds):.1f} "
            f"({min(seconds):.1f} to {max(seconds):.1f}) | "
            f"{statistics.median(repeated):.0f} ({min(repeated)} to {max(repeated)}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
