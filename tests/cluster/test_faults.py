"""Faults of real nodes: each a machine with an address of its own, joined by a real network.

In each the job ends, and is to the last bit what it is without the fault.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray.tuning.head_watch import EXIT_CODE
from tests.cluster.network import Network, started_by, why_no_machines
from tests.cluster.nodes import RayCluster
from tests.cluster.store import Store, fetched_job
from tests.end_to_end.faulty_jobs import (
    TRIALS,
    assert_nothing_is_lost_repeated_or_changed,
    ended,
    events,
    job_in,
    running,
    wait_for,
)
from tests.end_to_end.jobs import wait_until_gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)
NODES = 3
CUT_SECONDS = 30
STORE_AWAY_SECONDS = 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A head without CPUs, and three nodes with one each."""
    if reason := why_no_machines(tmp_path_factory.mktemp("probe")):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("machines")
    with Network(folder) as network:
        yield RayCluster(network, folder, NODES)


class Driver:
    """`ntm-ray` on the head's machine, at work on a job."""

    def __init__(self, cluster: RayCluster, storage: Path, *arguments: str | Path) -> None:
        self.folder = storage / "job"
        self.process = cluster.driver("tune", *arguments, "--address", "auto", "--json")

    def kill(self) -> None:
        os.kill(started_by(self.process), signal.SIGKILL)
        self.process.communicate()

    def finish(self, seconds: float = 400) -> tuple[str, str]:
        """What it says at its end, which must be a good one."""
        output, errors = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, errors
        return output, errors


@pytest.fixture
def driver(cluster: RayCluster, tmp_path: Path) -> Iterator[Driver]:
    """A job at work on all nodes, of which some trials have ended and others are half-way."""
    cluster.bring_back_all()
    file = tmp_path / "job.yaml"
    file.write_text(job_in(tmp_path).to_yaml(), encoding="utf-8")
    driver = Driver(cluster, tmp_path, file)
    wait_for(lambda: len(ended(driver.folder)) > 0, driver.process)
    wait_for(lambda: len(running(driver.folder)) >= NODES - 1, driver.process)
    yield driver
    if driver.process.poll() is None:
        driver.kill()


def faults_in(driver: Driver) -> list[dict[str, Any]]:
    return [event for event in events(driver.folder) if event["event"] == "fault"]


def test_a_process_that_is_killed(cluster: RayCluster, driver: Driver) -> None:
    assert len(cluster.nodes["node-1"].kill("ray::Slot")) == 1
    output, _ = driver.finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert json.loads(output)["faults"] == faults
    assert faults["process_died"] == 1
    assert faults_in(driver)[0]["node"] == cluster.nodes["node-1"].address


def test_a_node_whose_raylet_and_processes_are_killed(cluster: RayCluster, driver: Driver) -> None:
    cluster.kill_node("node-2")
    _, _ = driver.finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert faults["process_died"] + faults["node_lost"] == 1
    assert faults_in(driver)[0]["node"] == cluster.nodes["node-2"].address


def test_a_node_that_loses_power(cluster: RayCluster, driver: Driver) -> None:
    address = cluster.nodes["node-3"].address
    cluster.lose_power("node-3")
    _, _ = driver.finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert faults["process_died"] + faults["node_lost"] == 1
    assert faults_in(driver)[0]["node"] == address


def test_a_node_that_is_added_gets_work(cluster: RayCluster, driver: Driver) -> None:
    cluster.start_node("node-4")
    try:
        node = cluster.nodes["node-4"]
        wait_for(
            lambda: any("ray::Slot" in line for line in node.processes().values()), driver.process
        )
        driver.finish()
        faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
        assert set(faults.values()) == {0}
    finally:
        cluster.remove("node-4")


def test_a_node_whose_network_is_away(cluster: RayCluster, driver: Driver) -> None:
    with cluster.network.away(cluster.nodes["node-1"]):
        time.sleep(CUT_SECONDS)
    driver.finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert faults["process_died"] + faults["node_lost"] <= 1


def test_a_store_whose_network_is_away(cluster: RayCluster, tmp_path: Path) -> None:
    cluster.bring_back_all()
    store = Store(cluster.network, cluster.environment)
    file = tmp_path / "job.yaml"
    file.write_text(job_in(store.uri("runs")).to_yaml(), encoding="utf-8")
    driver = Driver(cluster, tmp_path, file)
    try:
        wait_for(lambda: len(ended(fetched_job(store, driver.folder))) > 0, driver.process)
        with cluster.network.away(store.machine):
            time.sleep(STORE_AWAY_SECONDS)
        driver.finish()
        folder = fetched_job(store, driver.folder)
        faults = assert_nothing_is_lost_repeated_or_changed(folder)
        assert faults == dict.fromkeys(faults, 0)
    finally:
        if driver.process.poll() is None:
            driver.kill()
        cluster.network.remove(store.machine)


def test_a_driver_that_is_killed(cluster: RayCluster, driver: Driver) -> None:
    before = ended(driver.folder)
    driver.kill()
    again = Driver(cluster, driver.folder.parent, "--resume", driver.folder)
    again.finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert faults["driver_restarted"] == 1
    assert ended(driver.folder)[: len(before)] == before


def test_a_head_that_is_restarted(cluster: RayCluster, driver: Driver) -> None:
    cluster.kill_head()
    output, errors = driver.process.communicate(timeout=180)
    assert driver.process.returncode == EXIT_CODE, errors
    assert output == ""
    last = errors.splitlines()[-1]
    assert last.startswith(f"ntm-ray: the head of the cluster, {cluster.head.address}:")
    assert f"--resume {driver.folder}" in last
    assert len(ended(driver.folder)) < TRIALS
    # What a supervisor does: Ray's nodes do not outlive their head, and are started again.
    cluster.restart()
    again = Driver(cluster, driver.folder.parent, "--resume", driver.folder)
    again.finish()
    faults = assert_nothing_is_lost_repeated_or_changed(driver.folder)
    assert faults["driver_restarted"] == 1


def test_nothing_is_left_of_machines(tmp_path: Path) -> None:
    if reason := why_no_machines(tmp_path):
        pytest.skip(reason)
    with Network(tmp_path) as network:
        machine = network.add("one")
        sleeps = machine.start("sleep", "1000", environment=dict(os.environ), folder=tmp_path)
        pids = {machine.pid, started_by(sleeps), *machine.processes()}
        assert len(pids) >= 2
    sleeps.communicate()
    assert wait_until_gone(pids, 10) == set()
