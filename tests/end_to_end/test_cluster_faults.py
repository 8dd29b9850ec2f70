"""Faults of a cluster of several nodes on this machine, each a real process that dies or hangs.

In each the job ends, and is to the last bit what it is without the fault. `tests/cluster` has the
same on nodes that have networks of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from ray.cluster_utils import Cluster

from tests.end_to_end.faulty_jobs import (
    assert_nothing_is_lost_repeated_or_changed,
    ended,
    job_in,
    running,
    wait_for,
)
from tests.end_to_end.jobs import REPOSITORY, descendants
from tests.loopback_s3 import ENVIRONMENT, LoopbackS3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)
NODES = 3
SECONDS_AWAY = 20
# A node that hangs is missed after some 20 s; Ray's own settings take a minute.
_MISSED_SOONER = {
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 4000,
    "health_check_failure_threshold": 4,
}


class Nodes:
    """A head without CPUs, and nodes with one each, which come and go."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": _MISSED_SOONER}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address
        self.nodes: list[Any] = []
        self.complete()

    def complete(self) -> None:
        """Start as many nodes as are missing."""
        missing = range(NODES - len(self.nodes))
        self.nodes += [self._cluster.add_node(num_cpus=1, wait=False) for _ in missing]
        self._cluster.wait_for_nodes()

    def add(self) -> Any:
        self.nodes.append(self._cluster.add_node(num_cpus=1, wait=False))
        return self.nodes[-1]

    def slots(self, node: Any) -> set[int]:
        """Ids of the processes that train on a node."""
        below = descendants(raylet(node))
        return {pid for pid, command in below.items() if "ray::Slot" in command}

    def kill(self, node: Any) -> None:
        """Kill a node's raylet and all its processes, raylet first."""
        pids = [raylet(node), *descendants(raylet(node))]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.forget(node)

    def forget(self, node: Any) -> None:
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def shutdown(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call]


def raylet(node: Any) -> int:
    (process,) = node.all_processes["raylet"]
    return int(process.process.pid)


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    """What all nodes and drivers are started with; the token is that of nobody's file."""
    patch = pytest.MonkeyPatch()
    for name, value in (ENVIRONMENT | {"RAY_AUTH_MODE": "disabled"}).items():
        patch.setenv(name, value)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def cluster(environment: None) -> Iterator[Nodes]:  # noqa: ARG001 - it is to be so before
    nodes = Nodes()
    yield nodes
    nodes.shutdown()


class Driver:
    """`ntm-ray` at work on a job of which some trials have ended and others are half-way."""

    def __init__(self, address: str, folder: Path, *arguments: str | Path) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "ntm_ray", "tune", *arguments, "--address", address]
        self.process = subprocess.Popen(
            [*map(str, command), "--json"],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_half_way(self) -> None:
        wait_for(lambda: len(ended(self.folder)) > 0, self.process)
        wait_for(lambda: len(running(self.folder)) >= NODES - 1, self.process)

    def finish(self) -> dict[str, Any]:
        """What it prints at its end, which must be a good one."""
        output, errors = self.process.communicate(timeout=400)
        assert self.process.returncode == 0, errors
        printed: dict[str, Any] = json.loads(output)
        return printed

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def driver(cluster: Nodes, tmp_path: Path) -> Iterator[Driver]:
    cluster.complete()
    file = tmp_path / "job.yaml"
    file.write_text(job_in(tmp_path).to_yaml(), encoding="utf-8")
    driver = Driver(cluster.address, tmp_path / "job", file)
    try:
        driver.wait_until_half_way()
        yield driver
    finally:
        driver.kill()


def test_a_process_that_is_killed(cluster: Nodes, driver: Driver) -> None:
    (slot,) = cluster.slots(cluster.nodes[0])
    os.kill(slot, signal.SIGKILL)
    printed = driver.finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert printed["faults"] == faults
    assert faults["process_died"] == 1


def test_a_node_that_is_killed(cluster: Nodes, driver: Driver) -> None:
    cluster.kill(cluster.nodes[0])
    driver.finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert faults["process_died"] + faults["node_lost"] == 1


def test_a_node_that_is_added_gets_work(cluster: Nodes, driver: Driver) -> None:
    node = cluster.add()
    wait_for(lambda: bool(cluster.slots(node)), driver.process)
    driver.finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert set(faults.values()) == {0}
    cluster.forget(node)


def test_a_node_that_does_not_answer(cluster: Nodes, driver: Driver) -> None:
    node = cluster.nodes[0]
    pids = {raylet(node), *descendants(raylet(node))}
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        driver.finish()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert faults["process_died"] + faults["node_lost"] == 1
    cluster.kill(node)


def test_a_driver_that_is_killed(cluster: Nodes, driver: Driver) -> None:
    before = ended(driver.folder)
    driver.kill()
    Driver(cluster.address, driver.folder, "--resume", driver.folder).finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert faults["driver_restarted"] == 1
    assert ended(driver.folder)[: len(before)] == before


def test_storage_that_is_away(cluster: Nodes, s3: LoopbackS3, tmp_path: Path) -> None:
    cluster.complete()
    file = tmp_path / "job.yaml"
    file.write_text(job_in(s3.uri("runs")).to_yaml(), encoding="utf-8")
    driver = Driver(cluster.address, tmp_path, file)
    try:
        wait_for(lambda: len(fetched(s3, tmp_path)) > 1, driver.process)
        timer = s3.go_away(SECONDS_AWAY)
        timer.join()
        driver.finish()
    finally:
        driver.kill()
    fetched(s3, tmp_path)
    for name in ("result.json", "trials.parquet", "epochs.parquet"):
        (tmp_path / name).write_bytes(s3.content(f"runs/job/{name}"))
    faults = assert_nothing_is_lost_repeated_or_changed(tmp_path)
    assert faults == dict.fromkeys(faults, 0)


def fetched(s3: LoopbackS3, folder: Path) -> list[str]:
    """Write the journal that the bucket holds to a folder; returns the trials that have ended."""
    segments = sorted(key for key in s3.keys("runs/job/journal/"))
    journal = b"".join(s3.content(key) for key in segments)
    (folder / "journal.jsonl").write_bytes(journal)
    return ended(folder)


def test_a_head_that_is_restarted(cluster: Nodes, driver: Driver) -> None:
    before = ended(driver.folder)
    cluster.shutdown()
    _, errors = driver.process.communicate(timeout=180)
    assert driver.process.returncode != 0
    assert "Traceback" not in errors
    assert f"--resume {driver.folder}" in errors.splitlines()[-1]
    # As a supervisor does; nothing of what the head knew is left.
    cluster.start()
    Driver(cluster.address, driver.folder, "--resume", driver.folder).finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert faults["driver_restarted"] == 1
    assert ended(driver.folder)[: len(before)] == before
