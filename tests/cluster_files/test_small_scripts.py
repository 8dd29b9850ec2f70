"""`tune-or-resume.sh` and `stop-when-idle.sh`, as the machines run them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster_files.shipped import CLUSTER


def program(folder: Path, name: str, text: str) -> None:
    """A program of that name in a folder of `PATH`."""
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


def tune_or_resume(folder: Path, storage: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The script, with an `ntm-ray` that says what it was asked."""
    program(folder, "ntm-ray", 'printf "<%s>" "$@"')
    environment = {
        "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NTM_RAY_JOB": "my job.yaml",
        "NTM_RAY_STORAGE": storage,
        "NTM_RAY_NAME": "first",
    }
    return subprocess.run(
        [CLUSTER / "tune-or-resume.sh", *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("as_uri", [False, True])
def test_a_job_begins_where_there_is_no_folder_and_goes_on_where_there_is(
    tmp_path: Path, as_uri: bool
) -> None:
    storage = (tmp_path / "store").as_uri() if as_uri else str(tmp_path / "store")
    done = tune_or_resume(tmp_path, storage, "--trials", "3")
    assert done.returncode == 0, done.stderr
    beginning = f"<my job.yaml><--storage><{storage}><--name><first><--address><auto>"
    assert done.stdout == f"<tune>{beginning}<--trials><3>"

    (tmp_path / "store" / "first").mkdir(parents=True)
    (tmp_path / "store" / "first" / "job.yaml").touch()
    done = tune_or_resume(tmp_path, storage, "--trials", "3")
    assert done.stdout == f"<tune><--resume><{storage}/first><--address><auto>"


def test_a_storage_that_does_not_answer_is_no_reason_to_begin_again(tmp_path: Path) -> None:
    done = tune_or_resume(tmp_path, "nonsense://bucket")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("nonsense://bucket cannot be read")


def idle_watch(folder: Path, role: str) -> subprocess.Popen[bytes]:
    """The watch over a machine, with minutes of a twentieth of a second."""
    program(folder, "sudo", f'echo "$@" > {folder}/off')
    program(folder, "ray", f"cat {folder}/jobs")
    program(folder, "pgrep", f"test -e {folder}/raylet")
    environment = os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "NTM_RAY_CHECK_SECONDS": "0.05",
        "NTM_RAY_LOCKS": str(folder),
    }
    return subprocess.Popen(
        [CLUSTER / "stop-when-idle.sh", role, "5"], env=environment, stdout=subprocess.DEVNULL
    )


RUNNING = "[JobDetails(type=<JobType.SUBMISSION>, status=<JobStatus.RUNNING: 'RUNNING'>)]"
ENDED = "[JobDetails(type=<JobType.SUBMISSION>, status=<JobStatus.SUCCEEDED: 'SUCCEEDED'>)]"


@pytest.mark.parametrize("after", [ENDED, None])
def test_a_head_goes_off_when_no_job_runs(tmp_path: Path, after: str | None) -> None:
    jobs = tmp_path / "jobs"
    jobs.write_text(RUNNING)
    watch = idle_watch(tmp_path, "head")
    time.sleep(1.5)  # thirty looks, where five without a job are enough
    assert watch.poll() is None
    if after is None:
        jobs.unlink()  # Ray does not answer
    else:
        jobs.write_text(after)
    assert watch.wait(60) == 0
    assert (tmp_path / "off").read_text() == "shutdown -h now\n"


def test_a_worker_goes_off_when_its_ray_has_ended(tmp_path: Path) -> None:
    raylet = tmp_path / "raylet"
    raylet.touch()
    watch = idle_watch(tmp_path, "worker")
    time.sleep(1.5)
    assert watch.poll() is None
    assert idle_watch(tmp_path, "worker").wait(60) == 0  # one watch is enough
    assert not (tmp_path / "off").exists()
    raylet.unlink()
    assert watch.wait(60) == 0
    assert (tmp_path / "off").read_text() == "shutdown -h now\n"
