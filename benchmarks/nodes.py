"""What a trial and a report cost the driver on clusters of 1, 2 and 4 nodes.

    python -m benchmarks.nodes [--trials 300] [--rounds 3]

The nodes are simulated on this machine and have four slots together, so that the work at hand is
the same. Trials take hardly any time, and report once each; for the cost of a report, four
trials report twice a second. Each job has a driver of its own; all sizes take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from ray.cluster_utils import Cluster

from benchmarks.overhead import CORPUS, Meter
from ntm_ray.tuning import TuningJob

NODES = (1, 2, 4)
SLOTS = 4
LONG = 60_000
"""Epochs of a trial that reports often."""


def job(trials: int, epochs: int, storage: str) -> TuningJob:
    """A job of so many trials of so many epochs, that keeps all slots busy."""
    return TuningJob(
        corpus=CORPUS,
        hyperparameters={"num_topics": 2, "epochs": epochs},
        search="random",
        scheduler="none",
        trials=trials,
        storage=storage,
        name="job",
        device="cpu",
        max_concurrent=SLOTS,
    )


def measure(trials: int, epochs: int, address: str) -> None:
    """Print the driver's CPU milliseconds a trial and a report, of the middle of a job."""
    meter = Meter()
    with tempfile.TemporaryDirectory() as storage:
        job(trials, epochs, storage).run(meter, address=address)
        lines = Path(storage, "job", "journal.jsonl").read_text(encoding="utf-8").splitlines()
    reports = sum(json.loads(line)["event"] == "report" for line in lines)
    first = next(reading for reading in meter.readings if reading[0] >= trials // 10)
    last = meter.readings[-1]
    cpu = 1000 * (last[2] - first[2])
    share = (last[1] - first[1]) / (last[1] - meter.readings[0][1])
    figures = {"trial": cpu / max(1, last[0] - first[0]), "report": cpu / (reports * share)}
    sys.stdout.write(json.dumps(figures) + "\n")


def in_a_process(trials: int, epochs: int, address: str) -> dict[str, float]:
    """Measure in a process of its own, whose CPU time is the driver's."""
    arguments = ["--measure", str(trials), str(epochs), address]
    command = [sys.executable, "-m", "benchmarks.nodes", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(run.stderr)
    figures: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return figures


def on(nodes: int, trials: int) -> tuple[float, float]:
    """The driver's CPU milliseconds a trial, and a report, on so many nodes."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=SLOTS // nodes, wait=False)
        cluster.wait_for_nodes()
        a_trial = in_a_process(trials, 3, cluster.address)["trial"]
        a_report = in_a_process(SLOTS, LONG, cluster.address)["report"]
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
    return a_trial, a_report


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        trials, epochs, address = given.measure
        measure(int(trials), int(epochs), address)
        return
    os.environ["RAY_AUTH_MODE"] = "disabled"
    rounds = [{nodes: on(nodes, given.trials) for nodes in NODES} for _ in range(given.rounds)]
    print(f"python -m benchmarks.nodes --trials {given.trials} --rounds {given.rounds}\n")
    print("| nodes | driver's CPU a trial, ms | beside 1 node | a report, ms | beside 1 node |")
    print("|---|---|---|---|---|")
    for nodes in NODES:
        cells = []
        for which in (0, 1):
            cost = statistics.median(one[nodes][which] for one in rounds)
            ratio = statistics.median(one[nodes][which] / one[1][which] for one in rounds)
            cells += [f"{cost:.2f}", f"{ratio:.2f}"]
        print(f"| {nodes} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
