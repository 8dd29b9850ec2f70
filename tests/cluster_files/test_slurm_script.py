"""`cluster/slurm.sh` with a real Ray on two addresses of loopback, and stand-ins for Slurm.

The stand-ins do what four of Slurm's commands do here; a real Slurm needs a daemon a node.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster_files.shipped import CLUSTER, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STAND_INS = Path(__file__).parent / "slurm"
PATIENCE = 120  # seconds


class Allocation:
    """Two nodes of a cluster, which are two addresses of this machine, and one job on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = str(os.getpid())
        self.output = folder / "output.log"
        self.storage = folder / "storage"
        self.running: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, state: str = "RUNNING") -> subprocess.Popen[bytes]:
        """The script, as Slurm starts it."""
        environment = {key: os.environ[key] for key in os.environ if not key.startswith("RAY_")}
        environment |= {
            "PATH": f"{STAND_INS}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "VENV": sys.prefix,
            "SLURM_JOB_ID": self.number,
            "SLURM_JOB_NODELIST": "two",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_MEM_PER_NODE": "2048",
            "SLURM_SUBMIT_DIR": str(ROOT),
            "FAKE_NODES": "127.0.0.1 127.0.0.2",
            "FAKE_STATE": str(self.folder),
            "FAKE_JOB_STATE": state,
        }
        with self.output.open("wb") as output:
            self.running = subprocess.Popen(
                ["bash", CLUSTER / "slurm.sh", "synthetic", str(self.storage), "job", *arguments],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self.running

    def said(self) -> str:
        return self.output.read_text()

    def wait_until(self, true: Callable[[], bool]) -> None:
        assert self.running is not None
        give_up = time.monotonic() + PATIENCE
        while not true():
            assert self.running.poll() is None, self.said()
            assert time.monotonic() < give_up, self.said()
            time.sleep(0.2)

    def folders(self) -> list[Path]:
        """Ray's folders of the nodes."""
        return sorted(Path("/tmp").glob(f"ntm-ray-{self.number}.*"))

    def processes(self) -> list[str]:
        """The commands of processes that have to do with this job's Ray."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has just ended
            if f"ntm-ray-{self.number}." in command:
                found.append(command)
        return found

    def finished(self) -> int:
        """Trials that have ended, as the progress says."""
        return int(([0, *map(int, re.findall(r"(\d+) finished", self.said()))])[-1])


@pytest.fixture
def allocation(tmp_path: Path) -> Iterator[Allocation]:
    allocation = Allocation(tmp_path)
    yield allocation
    if allocation.running is not None and allocation.running.poll() is None:
        allocation.running.terminate()
        allocation.running.wait(PATIENCE)


def test_a_job_runs_on_all_nodes_and_leaves_nothing_behind(allocation: Allocation) -> None:
    script = allocation.start("--trials", "2", "--epochs", "3")
    allocation.wait_until(
        lambda: len(list(Path("/tmp").glob(f"ntm-ray-{allocation.number}.*/token"))) == 2
    )
    tokens = [folder / "token" for folder in allocation.folders()]
    assert [path.stat().st_mode & 0o777 for path in tokens] == [0o600, 0o600]
    assert [path.parent.stat().st_mode & 0o777 for path in tokens] == [0o700, 0o700]
    allocation.wait_until(lambda: tokens[0].stat().st_size > 0)
    token = tokens[0].read_text().strip()
    assert len(token) == 64
    allocation.wait_until(lambda: "Starting Ray" in allocation.said())
    assert allocation.processes()
    assert not any(token in command for command in allocation.processes())

    assert script.wait(PATIENCE) == 0, allocation.said()
    assert "2 at a time" in allocation.said()
    assert (allocation.storage / "job" / "best" / "model.safetensors").exists()
    assert token not in allocation.said()
    assert allocation.folders() == []
    assert allocation.processes() == []


def test_a_job_whose_time_is_over_is_queued_again_and_goes_on(allocation: Allocation) -> None:
    arguments = ("--trials", "5000", "--scheduler", "none", "--epochs", "9")
    script = allocation.start(*arguments)
    allocation.wait_until(lambda: allocation.finished() > 0)
    script.send_signal(signal.SIGTERM)
    assert script.wait(PATIENCE) == 0, allocation.said()
    assert (allocation.folder / "requeued").read_text() == f"{allocation.number}\n"
    assert allocation.folders() == []
    assert allocation.processes() == []
    before = allocation.finished()

    script = allocation.start(*arguments, state="COMPLETING")
    allocation.wait_until(lambda: allocation.finished() > before)
    assert "Going on with" in allocation.said()
    script.send_signal(signal.SIGTERM)
    assert script.wait(PATIENCE) == 0, allocation.said()
    # Slurm is about to end the job for another reason: it is not for us to bring it back.
    assert (allocation.folder / "requeued").read_text() == f"{allocation.number}\n"


def test_outside_an_allocation_it_says_how_to_start_it(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", CLUSTER / "slurm.sh", "job.yaml", str(tmp_path)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "sbatch cluster/slurm.sh" in done.stderr
