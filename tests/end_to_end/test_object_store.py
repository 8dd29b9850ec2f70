"""Jobs whose folder lies in an object store: a real S3 API on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from ntm_ray.corpus import Corpus
from ntm_ray.errors import JobError, StorageError
from ntm_ray.model import NTM
from ntm_ray.model.objectives import CHOICES
from ntm_ray.tuning import FoundModels, TuningJob
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.progress import Nobody
from tests.end_to_end.jobs import REPOSITORY, SPACE, WALL_CLOCK, alive, descendants, rows, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Timer

    from ntm_ray.tuning import Progress
    from tests.loopback_s3 import LoopbackS3

CORPUS = Corpus.read("synthetic")
# Epochs enough that a job is still at work when something happens to it.
LONG = 300


@pytest.fixture
def processes() -> Iterator[set[int]]:
    """Ids of processes that must not outlive the test."""
    pids: set[int] = set()
    yield pids
    for pid in alive(pids):
        os.kill(pid, signal.SIGKILL)


def job_in(storage: str | Path, **fields: Any) -> TuningJob:
    fields = {"search": "random", "scheduler": "asha", "trials": 8} | fields
    return TuningJob(
        corpus="synthetic",
        hyperparameters={"num_topics": 10, "epochs": fields.pop("epochs", 9)},
        search_space=SPACE,
        seed=1,
        slots=fields.pop("slots", 1),
        storage=storage,
        name="job",
        device="cpu",
        **fields,
    )


def model_of(model: NTM) -> tuple[Any, ...]:
    """What a model is, but for how fast it was trained."""
    metrics = {name: value for name, value in model.metrics.items() if name not in WALL_CLOCK}
    return metrics, model.topics(10), model.hyperparameters


def test_a_job_in_an_object_store_has_the_tables_and_the_model_of_one_on_a_disk(
    s3: LoopbackS3, tmp_path: Path
) -> None:
    there = job_in(s3.uri("runs")).run()
    here = job_in(tmp_path / "runs").run()
    assert rows(there.trials()) == rows(here.trials())
    assert rows(there.epochs()) == rows(here.epochs())
    assert there.best.trial == here.best.trial
    assert model_of(there.best.model()) == model_of(here.best.model())

    # What lies there is what would lie on a disk, and whole.
    for name in ("trials.parquet", "epochs.parquet"):
        file = tmp_path / name
        file.write_bytes(s3.content(f"runs/job/{name}"))
        table = there.trials() if name == "trials.parquet" else there.epochs()
        assert rows(pq.read_table(file)) == rows(table)
    folder = tmp_path / "model"
    folder.mkdir()
    best = [key for key in s3.keys("runs/job/best/") if not key.endswith("/")]
    for key in best:
        (folder / key.rpartition("/")[2]).write_bytes(s3.content(key))
    assert model_of(NTM.load(folder)) == model_of(here.best.model())
    assert json.loads(s3.content("runs/job/result.json"))["best"]["trial"] == here.best.trial
    assert json.loads(s3.content("runs/job/corpus.json"))["fingerprint"] == CORPUS.fingerprint
    kept = {key.removeprefix("runs/job/").split("/")[0] for key in s3.keys("runs/job/")} - {""}
    assert kept == {
        *("best", "corpus.json", "corpus.npz", "epochs.parquet", "job.yaml", "journal"),
        *("models", "ray", "result.json", "trials.parquet"),
    }
    assert [key for key in s3.keys("runs/job/ray/") if not key.endswith("/")] == [
        "runs/job/ray/ray.log"
    ]
    for name in CHOICES:
        found = FoundModels.read(s3.uri("runs/job")).best_by(name)
        wanted = here.best_by(name)
        assert (found.trial, found.epoch) == (wanted.trial, wanted.epoch)
        assert model_of(found.model()) == model_of(wanted.model())
    assert there.front == here.front
    with pytest.raises(StorageError, match="lies in an object store"):
        _ = there.folder
    assert there.place.uri == s3.uri("runs/job")
    # Nothing of it stays on this machine.
    assert not list((tmp_path / "cache" / "jobs").iterdir())


def test_storage_that_is_away_for_some_seconds_does_not_end_a_job(
    s3: LoopbackS3, tmp_path: Path
) -> None:
    class TakeAway(Nobody):
        """Takes the storage away when the first trials have ended."""

        timer: Timer | None = None

        def update(self, progress: Progress) -> None:
            if self.timer is None and progress.ended >= 2:
                self.timer = s3.go_away(4)

    observer = TakeAway()
    there = job_in(s3.uri("runs"), epochs=LONG).run(observer)
    assert observer.timer is not None
    observer.timer.join()
    here = job_in(tmp_path / "runs", epochs=LONG).run()
    assert rows(there.trials()) == rows(here.trials())
    assert rows(there.epochs()) == rows(here.epochs())


def test_storage_that_refuses_in_the_middle_ends_a_job_in_one_line_and_it_goes_on_later(
    s3: LoopbackS3, tmp_path: Path
) -> None:
    class Withdraw(Nobody):
        """Has the credentials withdrawn when the first trials have ended."""

        def update(self, progress: Progress) -> None:
            if progress.ended >= 2:
                s3.fault = lambda *_: (403, "InvalidAccessKeyId")

    job = job_in(s3.uri("runs"), epochs=LONG, scheduler="none")
    with pytest.raises(JobError) as caught:
        job.run(Withdraw())
    assert "access denied" in str(caught.value)
    assert "what is finished is kept" in str(caught.value)
    assert f"--resume '{s3.uri('runs/job')}'" in str(caught.value)
    assert "\n" not in str(caught.value)
    s3.fault = lambda *_: None
    result = TuningJob.resume(s3.uri("runs/job"))
    here = job_in(tmp_path / "runs", epochs=LONG, scheduler="none").run()
    assert rows(result.trials()) == rows(here.trials())
    assert rows(result.epochs()) == rows(here.epochs())


def test_storage_that_refuses_is_one_line_and_leaves_nothing_behind(
    s3: LoopbackS3, tmp_path: Path
) -> None:
    with s3.answering(403, "AccessDenied"), pytest.raises(StorageError) as caught:
        job_in(s3.uri("runs")).run()
    assert "access denied" in str(caught.value)
    assert "credentials" in str(caught.value)
    assert "\n" not in str(caught.value)
    # It may be that only writing is denied.
    with s3.answering(403, "AccessDenied", methods="PUT"), pytest.raises(StorageError) as caught:
        JobFolder.create(job_in(s3.uri("runs")), CORPUS)
    assert "access denied" in str(caught.value)
    with pytest.raises(StorageError, match="no such bucket; make it first"):
        JobFolder.create(job_in(s3.uri("runs", bucket="elsewhere")), CORPUS)
    assert s3.keys() == []
    assert not list((tmp_path / "cache").rglob("job*/*"))


def test_a_job_whose_driver_is_killed_goes_on_on_a_machine_that_never_saw_it(
    s3: LoopbackS3, tmp_path: Path, processes: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(s3.uri("runs"), epochs=LONG, scheduler="none")
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())
    with start("run", file) as killed:
        processes.add(killed.pid)
        ended = wait_for_ends_there(s3, 3, killed)
        processes |= descendants(killed.pid).keys()
        killed.kill()
    before = [json.loads(line) for line in journal_there(s3)]
    # Another machine: nothing in its cache.
    monkeypatch.setenv("NTM_RAY_CACHE", str(tmp_path / "another cache"))
    result = TuningJob.resume(s3.uri("runs/job"))
    assert not result.interrupted
    here = job_in(tmp_path / "runs", epochs=LONG, scheduler="none").run()
    assert rows(result.trials()) == rows(here.trials())
    assert rows(result.epochs()) == rows(here.epochs())
    events = [json.loads(line) for line in journal_there(s3)]
    assert events[: len(before)] == before
    names = [event["trial"] for event in events if event["event"] == "trial"]
    assert len(names) == len(set(names)) == job.trials + 1
    for name in ended:
        reports = [e for e in events if e["event"] == "report" and e["trial"] == name]
        epochs = [row["epoch"] for report in reports for row in report["epochs"]]
        assert epochs == sorted(set(epochs)), "what was finished was trained again"


@pytest.mark.parametrize("scheduler", ["pbt", "asha_promotion"])
def test_trials_pause_and_go_on_through_an_object_store(
    s3: LoopbackS3, tmp_path: Path, scheduler: str
) -> None:
    there = job_in(s3.uri("runs"), scheduler=scheduler).run()
    here = job_in(tmp_path / "runs", scheduler=scheduler).run()
    events = [json.loads(line)["event"] for line in journal_there(s3)]
    assert "leg" in events
    assert rows(there.trials()) == rows(here.trials())
    assert rows(there.epochs()) == rows(here.epochs())
    assert model_of(there.best.model()) == model_of(here.best.model())


def test_the_command_line_begins_is_interrupted_and_goes_on_elsewhere(
    s3: LoopbackS3, tmp_path: Path, processes: set[int]
) -> None:
    program = [sys.executable, "-m", "ntm_ray", "tune"]
    settings = ["--epochs", str(LONG), "--trials", "6", "--slots", "1", "--scheduler", "none"]
    for value in ("optimizer=adam", "learning_rate=0.01", "mini_batch_size=100"):
        settings += ["--set", value]
    begin = [*settings, "--search", "random", "--storage", s3.uri("runs"), "--name", "job"]

    def run(cache: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*program, *arguments, "--json"],
            cwd=REPOSITORY,
            env=os.environ | {"NTM_RAY_CACHE": str(tmp_path / cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.add(process.pid)
        return process

    with run("here", "synthetic", *begin) as first:
        wait_for_ends_there(s3, 3, first)
        os.killpg(first.pid, signal.SIGINT)
        output, errors = first.communicate(timeout=120)
    assert "Traceback" not in errors
    result = json.loads(output)
    assert result["interrupted"]
    assert result["folder"] == s3.uri("runs/job")
    # What there is, is there, and the job is free for the next.
    there = {key.removeprefix("runs/job/") for key in s3.keys("runs/job/")}
    assert there >= {"best/metrics.json", "trials.parquet", "result.json", "report.html"}
    assert "lease.json" not in there

    with run("elsewhere", "--resume", result["folder"]) as second:
        output, errors = second.communicate(timeout=240)
    assert second.returncode == 0, errors
    assert not json.loads(output)["interrupted"]
    assert json.loads(output)["trials"]["finished"] == 6
    events = [json.loads(line) for line in journal_there(s3)]
    names = [event["trial"] for event in events if event["event"] == "trial"]
    assert len(names) == len(set(names)) == 7
    assert b"</html>" in s3.content("runs/job/report.html")

    # Its model can be looked at from there.
    command = [sys.executable, "-m", "ntm_ray", "topics", "--json"]
    for where in ("runs/job", "runs/job/best"):
        done = subprocess.run(
            [*command, s3.uri(where)], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["model"] == s3.uri("runs/job/best")
        assert len(json.loads(done.stdout)["topics"]) == 20
    done = subprocess.run(
        [*command, s3.uri("runs")], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is no model folder: metrics.json missing" in done.stderr


def journal_there(s3: LoopbackS3) -> list[str]:
    keys = sorted(s3.keys("runs/job/journal/"))
    return b"".join(s3.content(key) for key in keys).decode().splitlines()


def wait_for_ends_there(s3: LoopbackS3, number: int, process: subprocess.Popen[str]) -> list[str]:
    """Wait until the journal in the object store knows of so many trials that have ended."""
    deadline = time.monotonic() + 90
    while True:
        events = [json.loads(line) for line in journal_there(s3)]
        ended = [e["trial"] for e in events if e["event"] == "report" and e["stop_reason"]]
        if len(ended) >= number:
            return ended
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        assert time.monotonic() < deadline, events
        time.sleep(0.02)
