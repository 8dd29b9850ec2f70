"""Jobs that are cut short, by real signals and a real full disk, and gone on with."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from ntm_ray.corpus import Corpus
from ntm_ray.errors import JobError
from ntm_ray.tuning import TuningJob, TuningResult
from ntm_ray.tuning.schedulers import Decision, Leg, Scheduler
from ntm_ray.tuning.tables import epochs_table, trials_table
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL
from tests.end_to_end.jobs import (
    SPACE,
    alive,
    curve_alone,
    descendants,
    ends,
    exactly,
    rows,
    start,
    uncut,
    wait_for_ends,
    wait_until_gone,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntm_ray.tuning.engine import Engine


# Epochs enough that a job is still at work when it is cut.
LONG = 300
CORPUS = Corpus.read("synthetic")


@pytest.fixture
def processes() -> Iterator[set[int]]:
    """Ids of processes that must not outlive the test."""
    pids: set[int] = set()
    yield pids
    for pid in alive(pids):
        os.kill(pid, signal.SIGKILL)


def job_in(storage: Path, epochs: int) -> TuningJob:
    return TuningJob(
        corpus="synthetic",
        hyperparameters={"num_topics": 10, "epochs": epochs},
        search_space=SPACE,
        search="random",
        scheduler="none",
        trials=8,
        seed=1,
        slots=2,
        storage=storage,
        name="job",
        device="cpu",
    )


@functools.cache
def never_cut(epochs: int) -> Engine:
    return uncut(job_in(Path("nowhere"), epochs), CORPUS)


def assert_is_as_if_never_cut(result: TuningResult, job: TuningJob) -> None:
    """Both tables are those of the job carried out by one slot, without Ray."""
    whole = never_cut(job.epochs)
    trials = trials_table(whole.searched, job.hyperparameters, CORPUS.feature_dim)
    assert not result.interrupted
    assert rows(result.trials()) == rows(trials)
    assert rows(result.epochs()) == rows(epochs_table(whole.searched))
    assert rows(pq.read_table(result.folder / "trials.parquet")) == rows(result.trials())
    assert rows(pq.read_table(result.folder / "epochs.parquet")) == rows(result.epochs())


def test_a_job_killed_and_then_interrupted_and_resumed_ends_as_if_it_had_not_been(
    tmp_path: Path, processes: set[int]
) -> None:
    job = job_in(tmp_path, epochs=LONG)
    folder = tmp_path / "job"
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())

    # kill -9 of the driver.
    with start("run", file) as killed:
        processes.add(killed.pid)
        wait_for_ends(folder, 2, killed)
        rays = descendants(killed.pid)
        processes |= rays.keys()
        # Two agents of Ray's own notice the end of their raylet late or, in containers, never.
        workers = {pid for pid, command in rays.items() if "agent" not in command.lower()}
        assert len(workers) > 2, "no Ray to be seen"
        with pytest.raises(JobError, match="another process is working on this job"):
            TuningJob.resume(folder)
        killed.kill()
    assert wait_until_gone(workers, 30) == set(), "the private Ray outlived its driver"
    before = len(ends(folder))

    # Ctrl-C of the resumed job.
    with start("resume", folder) as interrupted:
        processes.add(interrupted.pid)
        ended = wait_for_ends(folder, before + 1, interrupted)
        rays = descendants(interrupted.pid)
        processes |= rays.keys()
        os.killpg(interrupted.pid, signal.SIGINT)
        output, errors = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 0, errors
    assert "Traceback" not in errors
    assert wait_until_gone(set(rays), 30) == set()
    first = json.loads(output.splitlines()[-1])
    assert first["interrupted"]
    kept = rows(pq.read_table(folder / "trials.parquet"))
    assert {row["trial"] for row in kept if row["status"] == "finished"} >= (
        set(ended) - {DEFAULTS_TRIAL} - {r["trial"] for r in kept if r["status"] == "diverged"}
    )
    assert sum(first["trials"].values()) < job.trials

    # And to its end.
    result = TuningJob.resume(folder)
    assert result.wall_seconds > first["wall_seconds"] + 1
    assert_is_as_if_never_cut(result, job)
    by_name = {row["trial"]: row for row in rows(result.trials())}
    for row in kept:
        if row["status"] != "running":
            assert by_name[row["trial"]] == row


def test_a_trial_whose_process_is_killed_is_trained_again_with_the_bits_it_would_have_had(
    tmp_path: Path, processes: set[int]
) -> None:
    job = job_in(tmp_path, epochs=LONG)
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())
    with start("run", file) as running:
        processes.add(running.pid)
        wait_for_ends(tmp_path / "job", 2, running)
        below = descendants(running.pid)
        processes |= below.keys()
        slots = [pid for pid, command in below.items() if "ray::Slot" in command]
        assert len(slots) == 2, below
        for pid in slots:
            os.kill(pid, signal.SIGKILL)
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert_is_as_if_never_cut(TuningJob.resume(tmp_path / "job"), job)


def test_a_job_on_a_disk_that_fills_up_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, processes: set[int]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        job = job_in(disk, epochs=LONG)
        file = tmp_path / "job.yaml"
        file.write_text(job.to_yaml())
        with start("run", file) as running:
            processes.add(running.pid)
            ended = wait_for_ends(disk / "job", 3, running)
            processes |= descendants(running.pid).keys()
            with pytest.raises(OSError, match="No space left"):
                (disk / "filler").write_bytes(bytes(2**23))
            _, errors = running.communicate(timeout=120)
        assert running.returncode != 0
        # Whoever of journal, tables and models is the first to find no room.
        assert "No space left on device" in errors.splitlines()[-1]
        assert "; what is finished is kept" in errors.splitlines()[-1]
        (disk / "filler").unlink()
        result = TuningJob.resume(disk / "job")
        assert_is_as_if_never_cut(result, job)
        names = [json.loads(line).get("trial") for line in journal_lines(disk / "job", "trial")]
        assert len(names) == len(set(names)) == job.trials + 1
        again = [json.loads(line) for line in journal_lines(disk / "job", "report")]
        for name in ended:
            epochs = [row["epoch"] for e in again if e["trial"] == name for row in e["epochs"]]
            assert epochs == sorted(set(epochs)), "what was finished was trained again"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def journal_lines(folder: Path, event: str) -> list[str]:
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [line for line in lines if json.loads(line)["event"] == event]


class BetterOfTwo(Scheduler):
    """Pauses every trial at epoch 4; of each two that wait there, the better one goes on."""

    rungs = (4,)
    pauses = True
    takes_over = False

    def __init__(self) -> None:
        self._waiting: list[tuple[float, str]] = []

    def decide(self, trial: str, rung: int, loss: float) -> Decision:  # noqa: ARG002
        self._waiting.append((loss, trial))
        return Decision.PAUSE

    def next_leg(self, *, exhausted: bool) -> Leg | None:  # noqa: ARG002
        if len(self._waiting) < 2:
            return None
        best = min(self._waiting[:2])
        del self._waiting[:2]
        return Leg(best[1])


def test_trials_that_are_paused_go_on_from_their_saved_state_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ntm_ray.tuning.engine.create_scheduler", lambda *_: BetterOfTwo())
    job = job_in(tmp_path, epochs=15)
    result = job.run()
    assert not result.interrupted
    legs = [json.loads(line)["trial"] for line in journal_lines(result.folder, "leg")]
    assert len(legs) >= 3
    epochs = result.epochs().to_pylist()
    by_name = {row["trial"]: row for row in result.trials().to_pylist()}
    for name, row in by_name.items():
        configuration = {p.name: row[p.name] for p in SPACE.parameters}
        alone = curve_alone(job, CORPUS, configuration, row["seed"])
        curve = [epoch for epoch in epochs if epoch["trial"] == name]
        assert exactly(curve) == exactly(alone[: len(curve)]), row
    assert {by_name[name]["status"] for name in legs} <= {"finished", "diverged"}
    assert {row["epochs"] for row in by_name.values() if row["status"] == "stopped_early"} == {4}
    assert not (result.folder / "ray" / "states").exists()
