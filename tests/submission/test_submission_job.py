"""A job from one end to the other: sent, followed over a bad connection, stopped, gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml

from ntm_ray import NTM
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL
from tests.submission.head import Relay, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.submission.client import Client
    from tests.submission.head import Head

FETCHED = {
    "best",
    "corpus.json",
    "epochs.parquet",
    "job.yaml",
    "report.html",
    "result.json",
    "trials.parquet",
}
# One trial at a time, so that what the search is told does not depend on the cluster.
JOB = {
    "corpus": "animals.tsv",
    "hyperparameters": {"num_topics": 3, "epochs": 4},
    "search": {"name": "mine", "explore": 0.4},
    "scheduler": "none",
    "trials": 4,
    "slots": 1,
    "max_concurrent": 1,
}


@dataclass
class CarriedOut:
    """What the command printed, and what the log holds."""

    code: int
    printed: list[str]
    log: list[str]


def documents() -> str:
    lines = []
    for n in range(200):
        lines += [
            f"cat dog fish bird cow word{n % 7} word{n % 5} thing{n % 3}\ttrain",
            f"iron gold copper tin lead metal{n % 7} alloy{n % 5}\ttrain",
            f"gold cat tin cow thing{n % 3}\tval",
        ]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def relay(head: Head) -> Iterator[Relay]:
    relay = Relay(head.ports["dashboard"])
    yield relay
    relay.close()


@pytest.fixture(scope="module")
def carried_out(client: Client, relay: Relay) -> CarriedOut:
    """A job with a corpus and a plugin of the user's; the connection breaks in the middle."""
    (client.folder / "animals.tsv").write_text(documents())
    (client.folder / "job.yaml").write_text(yaml.safe_dump(JOB))
    following = client.start("submit", "job.yaml", "--name", "animals", address=relay.url)
    following.wait_for(lambda line: line.startswith("Starting Ray"))
    relay.cut(seconds=2)
    code = following.end()
    log = client.run("logs", "animals").stdout.splitlines()
    return CarriedOut(code, following.lines, log)


def test_a_job_is_sent_carried_out_and_its_results_are_fetched(
    carried_out: CarriedOut, client: Client
) -> None:
    assert carried_out.code == 0, carried_out.printed
    output = client.folder / "runs" / "animals"
    assert {path.name for path in output.iterdir()} == FETCHED
    assert len(NTM.load(output / "best").topics(3)) == 3


def test_no_line_is_lost_or_shown_twice_when_the_connection_breaks(
    carried_out: CarriedOut,
) -> None:
    news = [line for line in carried_out.printed if line.startswith("Connect")]
    assert news == [
        "Connection lost; trying again. The job goes on without it.",
        "Connected again.",
    ]
    begin = next(n for n, line in enumerate(carried_out.printed) if line.startswith("Reading"))
    end = next(n for n, line in enumerate(carried_out.printed) if line.startswith("Fetching"))
    shown = [line for line in carried_out.printed[begin:end] if line not in news]
    assert shown == carried_out.log
    assert len(shown) > 4


def test_the_job_comes_to_the_same_as_on_the_users_own_machine(
    carried_out: CarriedOut, client: Client
) -> None:
    local = subprocess.run(
        [sys.executable, "-m", "ntm_ray", "tune", "job.yaml", "--name", "here"],
        cwd=client.folder,
        env=client.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    found = {}
    for name in ("animals", "here"):
        text = (client.folder / "runs" / name / "result.json").read_text()
        found[name] = json.loads(text) | {"wall_seconds": 0, "folder": ""}
    assert found["animals"] == found["here"]

    def summary(printed: list[str]) -> list[str]:
        """From the best trial to the last topic: what people read."""
        begin = next(n for n, line in enumerate(printed) if line.startswith("Best trial"))
        end = next(n for n, line in enumerate(printed) if line.startswith("4 trials: "))
        return printed[begin:end]

    assert summary(carried_out.printed) == summary(local)


def test_a_relative_storage_is_below_ntm_ray_in_the_home_of_the_heads_user(
    carried_out: CarriedOut, head: Head
) -> None:
    assert "Job folder: ~/ntm-ray/animals (on the cluster's head)" in carried_out.printed
    folder = head.home / "ntm-ray" / "animals"
    # The corpus is in it, so that it can be gone on with when what was sent is gone.
    assert (folder / "corpus.npz").is_file()
    assert yaml.safe_load((folder / "job.yaml").read_text())["corpus"] == "corpus.npz"


def test_a_job_is_stopped_in_good_order_and_gone_on_with(client: Client, head: Head) -> None:
    settings = ("--num-topics", "3", "--epochs", "1000", "--trials", "4", "--scheduler", "none")
    long = ("synthetic", *settings, "--search", "random", "--max-concurrent", "1")
    following = client.start("submit", *long, "--name", "long")
    # Ctrl-C ends the following and nothing else.
    following.wait_for(lambda line: line.startswith("Starting Ray"))
    os.kill(following.process.pid, signal.SIGINT)
    assert following.end() == 130
    assert "Stopped following; the job goes on." in following.lines
    (job_id,) = (line.split()[2] for line in following.lines if line.startswith("Submitted"))
    assert f"  ntm-ray stop {job_id} --address {client.url}" in following.text
    journal = head.home / "ntm-ray" / "long" / "journal.jsonl"

    def ended() -> list[str]:
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        ends = [e["trial"] for e in events if e["event"] == "report" and e["stop_reason"]]
        return [trial for trial in ends if trial != DEFAULTS_TRIAL]

    wait_until(lambda: len(ended()) > 0)
    assert client.json("status", "long")["status"] == "RUNNING"
    again = client.start("logs", "long", "--follow")
    again.wait_for(lambda line: line.startswith("Starting Ray"))
    stopped = client.run("stop", "long")
    assert stopped.returncode == 0, stopped.stderr
    assert "Stopped after " in stopped.stdout, client.run("logs", "long").stdout
    assert f"ntm-ray resume {job_id} --address {client.url}" in stopped.stdout
    # Who followed has what there was, and the job's own exit code.
    assert again.end() == 130
    assert f"ntm-ray resume {job_id} --address {client.url}" in again.text
    before = ended()
    assert 0 < len(before) < 4

    resumed = client.run("resume", "long", "--json")
    assert resumed.returncode == 0, resumed.stderr
    result = json.loads(resumed.stdout)
    assert result["trials"]["finished"] == 4
    assert result["folder"] == "runs/long"
    assert sorted(ended()) == sorted({*ended(), *before}), "no trial has ended twice"
    listed = client.run("status").stdout.splitlines()
    rows = [line.split() for line in listed[1:]]
    statuses = {row[0]: row[1] for row in rows}
    assert rows[0][0] == result["job"]["id"], "the newest first"
    assert (statuses[result["job"]["id"]], statuses[job_id]) == ("finished", "stopped")


def test_following_survives_a_restart_of_the_dashboard(client: Client, head: Head) -> None:
    settings = ("--num-topics", "3", "--epochs", "40", "--trials", "4", "--scheduler", "none")
    following = client.start("submit", "synthetic", *settings, "--name", "restarted")
    following.wait_for(lambda line: line.startswith("Starting Ray"))
    head.restart_dashboard(seconds_away=1)
    assert following.end() == 0, following.text
    assert following.lines.count("Connected again.") == 1
    assert f"Written to {client.folder}/runs/restarted:" in following.lines
