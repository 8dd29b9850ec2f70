"""Whole tuning jobs on a real, private Ray: what they leave behind, and how they are cut short.

Ray takes seconds to start, so one job serves most tests, and one that is cut twice the others.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import torch

from ntm_ray.corpus import Corpus, bars, unigram_loss
from ntm_ray.errors import JobError
from ntm_ray.model import Hyperparameters, Training
from ntm_ray.tuning import OBJECTIVE, Progress, SearchSpace, Status, TuningJob, TuningResult
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.schedulers.asha import ASHA
from ntm_ray.tuning.tables import epochs_table, trials_table
from ntm_ray.tuning.trial import epoch_row
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

REPOSITORY = Path(__file__).parents[2]
WALL_CLOCK = {"started", "seconds", "documents_per_second"}
# The gradient is summed over a mini-batch, so that sgd diverges at once here.
SPACE = SearchSpace.parse(
    {
        "name": "partly diverging",
        "parameters": [
            {"name": "optimizer", "type": "categorical", "values": ["adam", "adagrad", "sgd"]},
            {
                "name": "learning_rate",
                "type": "continuous",
                "min": 1e-3,
                "max": 0.1,
                "scaling": "logarithmic",
                "when": {"optimizer": ["adam", "adagrad"]},
            },
            {
                "name": "learning_rate",
                "type": "continuous",
                "min": 0.9,
                "max": 1.0,
                "when": {"optimizer": ["sgd"]},
            },
            {"name": "mini_batch_size", "type": "integer", "min": 64, "max": 128},
        ],
    },
    "partly diverging",
)


class Watching:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.last: Progress | None = None

    def started(self, job: TuningJob, corpus: Corpus, folder: Path) -> None:
        assert (folder / "job.yaml").is_file()
        self.heard.append(f"started {job.trials} {corpus.name}")

    def update(self, progress: Progress) -> None:
        self.last = progress

    def stopping(self) -> None:
        self.heard.append("stopping")

    def ended(self) -> None:
        self.heard.append("ended")


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table but for what a clock has measured, by trial and epoch."""
    kept = [name for name in table.column_names if name not in WALL_CLOCK]
    order = lambda row: (row["trial"], row.get("epoch", 0))  # noqa: E731
    return sorted(table.select(kept).to_pylist(), key=order)


def curve_alone(
    job: TuningJob, corpus: Corpus, configuration: dict[str, Any], seed: int
) -> list[dict[str, Any]]:
    """What a trial's configuration comes to when nothing but it is trained, without Ray."""
    torch.set_num_threads(job.threads)
    settings = {"feature_dim": corpus.feature_dim} | job.hyperparameters | configuration
    training = Training(Hyperparameters.parse(settings), corpus, seed=seed, device="cpu")
    curve = []
    while not training.finished:
        curve.append(epoch_row(training.train_epoch()))
    return curve


def exactly(curve: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The losses of a curve to the last bit."""
    names = sorted(name for name in curve[0] if ":" in name)
    return [tuple(None if row[n] is None else row[n].hex() for n in names) for row in curve]


# One job, looked at from all sides


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return bars(documents=300, seed=1)


@pytest.fixture(scope="module")
def job(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> TuningJob:
    return TuningJob(
        corpus=corpus,
        hyperparameters={"num_topics": 10, "epochs": 10},
        search_space=SPACE,
        search="tpe",
        trials=12,
        slots=2,
        seed=0,
        storage=tmp_path_factory.mktemp("runs"),
        name="job",
        device="cpu",
    )


@pytest.fixture(scope="module")
def watching() -> Watching:
    return Watching()


@pytest.fixture(scope="module")
def result(job: TuningJob, watching: Watching) -> TuningResult:
    return job.run(watching)


def test_the_job_folder_holds_what_it_is_documented_to_hold(result: TuningResult) -> None:
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "best",
        "corpus.json",
        "corpus.npz",
        "epochs.parquet",
        "job.yaml",
        "journal.jsonl",
        "ray",
        "result.json",
        "trials.parquet",
    ]
    assert sorted(path.name for path in (result.folder / "best").iterdir()) == [
        "hyperparameters.json",
        "metrics.json",
        "model.safetensors",
        "vocabulary.txt",
    ]
    assert not (result.folder / "ray" / "models").exists()


def test_nothing_outside_rays_own_folder_is_pickled(result: TuningResult) -> None:
    for path in result.folder.rglob("*"):
        if path.is_file() and path.relative_to(result.folder).parts[0] != "ray":
            assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth"}
            assert not path.read_bytes().startswith(b"\x80"), path
    Corpus.load(result.folder / "corpus.npz")  # which refuses pickled arrays


def test_the_job_file_is_the_job(result: TuningResult, job: TuningJob, corpus: Corpus) -> None:
    read = TuningJob.read(result.folder / "job.yaml")
    assert isinstance(read.corpus, str)
    assert Corpus.read(read.corpus).fingerprint == corpus.fingerprint
    assert read.model_copy(update={"corpus": corpus}) == job


def test_the_tables_are_those_of_the_result(result: TuningResult) -> None:
    assert pq.read_table(result.folder / "trials.parquet").equals(result.trials())
    assert pq.read_table(result.folder / "epochs.parquet").equals(result.epochs())


def test_the_tables_and_the_json_agree_with_each_other(
    result: TuningResult, job: TuningJob
) -> None:
    trials, epochs = result.trials().to_pylist(), result.epochs().to_pylist()
    assert [row["trial"] for row in trials] == [f"{n:04d}" for n in range(job.trials)]
    for trial in trials:
        curve = [row for row in epochs if row["trial"] == trial["trial"]]
        losses = [row[OBJECTIVE] for row in curve]
        assert [row["epoch"] for row in curve] == list(range(1, trial["epochs"] + 1))
        finite = [loss for loss in losses if loss is not None]
        assert trial["best_validation:total_loss"] == min(finite, default=None)
        assert trial["last_validation:total_loss"] == losses[-1]
        assert trial["seconds"] == pytest.approx(sum(row["seconds"] for row in curve))
    json_result = json.loads((result.folder / "result.json").read_text())
    assert json_result == result.to_json_dict()
    assert json_result["epochs_spent"] == len(epochs)
    for status, number in json_result["trials"].items():
        assert number == sum(trial["status"] == status for trial in trials)
    assert sum(json_result["trials"].values()) == job.trials
    assert not json_result["interrupted"]


def test_the_best_model_is_that_of_the_best_row(result: TuningResult, corpus: Corpus) -> None:
    sound = [r for r in result.trials().to_pylist() if r["best_validation:total_loss"] is not None]
    row = min(sound, key=lambda r: r["best_validation:total_loss"])
    best = result.best
    assert best.trial == row["trial"]
    assert best.metrics[OBJECTIVE] == row["best_validation:total_loss"]
    for name in ("optimizer", "learning_rate", "mini_batch_size", "num_topics"):
        assert best.hyperparameters[name] == row[name]
    (epoch,) = [
        e
        for e in result.epochs().to_pylist()
        if e["trial"] == best.trial and e["epoch"] == best.epoch
    ]
    saved = json.loads((result.folder / "best" / "metrics.json").read_text())
    for name in (OBJECTIVE, "validation:recons_loss", "validation:kld", "train:total_loss"):
        assert saved[name] == epoch[name]
    model = best.model()
    assert model.evaluate(corpus.validation).total_loss == pytest.approx(
        epoch[OBJECTIVE], rel=1e-6
    )


def test_the_yardsticks_are_the_unigram_model_and_the_defaults_trained_alone(
    result: TuningResult, job: TuningJob, corpus: Corpus
) -> None:
    defaults = curve_alone(job, corpus, {}, job.seed)
    assert result.baselines == {
        "unigram": unigram_loss(corpus.train, corpus.validation),
        "defaults": min(row[OBJECTIVE] for row in defaults),
    }


def test_trials_are_stopped_early_at_rungs_only_and_go_no_further_than_the_budget(
    result: TuningResult, job: TuningJob
) -> None:
    trials = result.trials().to_pylist()
    stopped = [row for row in trials if row["status"] == "stopped_early"]
    assert stopped, "this job is here to see some stopped early"
    assert {row["epochs"] for row in stopped} <= set(
        ASHA(job.epochs, job.free_space, job.seed).rungs
    )
    assert max(row["epochs"] for row in trials) == job.epochs


def test_a_trial_that_diverges_ends_as_diverged_and_the_job_goes_on(
    result: TuningResult, job: TuningJob
) -> None:
    trials = result.trials().to_pylist()
    diverged = [row for row in trials if row["status"] == "diverged"]
    assert diverged, "this job is here to see some diverge"
    assert {row["optimizer"] for row in diverged} == {"sgd"}
    assert result.outcomes[Status.FAILED] == 0
    assert sum(result.outcomes.values()) == job.trials
    assert math.isfinite(result.best.metrics[OBJECTIVE])


def test_each_curve_is_that_of_its_configuration_and_seed_trained_alone(
    result: TuningResult, job: TuningJob, corpus: Corpus
) -> None:
    """Though trials shared actors, one after the other, and the machine with each other."""
    epochs = result.epochs().to_pylist()
    for row in result.trials().to_pylist():
        configuration = {p.name: row[p.name] for p in SPACE.parameters}
        assert SPACE.contains(configuration)
        alone = curve_alone(job, corpus, configuration, row["seed"])
        curve = [epoch for epoch in epochs if epoch["trial"] == row["trial"]]
        assert exactly(curve) == exactly(alone[: len(curve)]), row


def test_the_observer_hears_of_beginning_and_end_and_ends_with_the_whole_picture(
    result: TuningResult, job: TuningJob, watching: Watching
) -> None:
    assert watching.heard == [f"started {job.trials} synthetic", "ended"]
    assert watching.last is not None
    assert (watching.last.ended, watching.last.running) == (job.trials, 0)
    assert watching.last.epochs_spent == result.epochs_spent
    assert watching.last.best_loss == result.best.metrics[OBJECTIVE]


def test_resuming_a_finished_job_gives_its_result_at_once(result: TuningResult) -> None:
    before = {path: path.read_bytes() for path in result.folder.glob("[!r]*") if path.is_file()}
    watching = Watching()
    again = TuningJob.resume(result.folder, watching)
    assert again.to_json_dict() == result.to_json_dict()
    assert watching.heard == []
    assert {path: path.read_bytes() for path in before} == before


def test_beginning_a_job_in_the_folder_of_another_is_refused(
    result: TuningResult, job: TuningJob
) -> None:
    with pytest.raises(JobError, match="holds a job already"):
        job.run()
    assert json.loads((result.folder / "result.json").read_text()) == result.to_json_dict()


# A job that is killed, and then interrupted

RUN = """
import json, sys
from ntm_ray.tuning import TuningJob
if __name__ == "__main__":
    result = TuningJob.read(sys.argv[2]).run() if sys.argv[1] == "run" \
        else TuningJob.resume(sys.argv[2])
    print(json.dumps(result.to_json_dict()))
"""


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    # A session of its own, as from a terminal: Ctrl-C goes to all processes in it.
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def descendants(pid: int) -> dict[int, str]:
    """Ids and command lines of the processes below a process."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    processes = [line.split(maxsplit=2) for line in listing.splitlines()]
    found = {pid: ""}
    while more := {
        int(child): rest
        for child, parent, *rest in processes
        if int(parent) in found and int(child) not in found
    }:
        found |= {child: " ".join(rest) for child, rest in more.items()}
    del found[pid]
    return found


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
        if state and not state.startswith("Z"):
            found.add(pid)
    return found


def wait_until_gone(pids: set[int], seconds: float) -> set[int]:
    deadline = time.monotonic() + seconds
    while (left := alive(pids)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def wait_for_ends(folder: Path, number: int, process: subprocess.Popen[str]) -> list[str]:
    """Wait until so many trials of a running job have ended; returns their names."""
    deadline = time.monotonic() + 90
    while True:
        try:
            lines = (folder / "journal.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            lines = []
        events = [json.loads(line) for line in lines]
        ended = [e["trial"] for e in events if e["event"] == "report" and e["stop_reason"]]
        if len(ended) >= number:
            return ended
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        assert time.monotonic() < deadline, events
        time.sleep(0.02)


@pytest.fixture
def processes() -> Iterator[set[int]]:
    """Ids of processes that must not outlive the test."""
    pids: set[int] = set()
    yield pids
    for pid in alive(pids):
        os.kill(pid, signal.SIGKILL)


def uncut(job: TuningJob, corpus: Corpus) -> Engine:
    """The job carried out by one slot and without Ray."""
    engine = Engine(job, list[Any]().append)
    while trial := engine.next_trial():
        curve = curve_alone(job, corpus, trial.configuration, trial.seed)
        reason = "epochs" if len(curve) == job.epochs else "early_stopping"
        if curve[-1][OBJECTIVE] is None:
            reason = "diverged"
        engine.report(trial.name, curve, stop_reason=reason)
    return engine


def test_a_job_killed_and_then_interrupted_and_resumed_ends_as_if_it_had_not_been(
    tmp_path: Path, processes: set[int]
) -> None:
    job = TuningJob(
        corpus="synthetic",
        hyperparameters={"num_topics": 10, "epochs": 15},
        search_space=SPACE,
        search="random",
        scheduler="none",
        trials=8,
        slots=2,
        seed=1,
        storage=tmp_path,
        name="job",
        device="cpu",
    )
    folder = tmp_path / "job"
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())

    # kill -9 of the driver.
    with start("run", file) as killed:
        processes.add(killed.pid)
        ended = wait_for_ends(folder, 2, killed)
        rays = descendants(killed.pid)
        processes |= rays.keys()
        # Two agents of Ray's own notice the end of their raylet late or, in containers, never.
        workers = {pid for pid, command in rays.items() if "agent" not in command.lower()}
        assert len(workers) > 2, "no Ray to be seen"
        with pytest.raises(JobError, match="another process is working on this job"):
            TuningJob.resume(folder)
        killed.kill()
    assert wait_until_gone(workers, 30) == set(), "the private Ray outlived its driver"

    # Ctrl-C of the resumed job.
    with start("resume", folder) as interrupted:
        processes.add(interrupted.pid)
        ended = wait_for_ends(folder, len(ended) + 1, interrupted)
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
    assert not result.interrupted
    assert result.wall_seconds > first["wall_seconds"] + 1
    corpus = Corpus.read("synthetic")
    whole = uncut(job, corpus)
    fixed, words = job.hyperparameters, corpus.feature_dim
    assert rows(result.trials()) == rows(trials_table(whole.searched, fixed, words))
    assert rows(result.epochs()) == rows(epochs_table(whole.searched))
    assert rows(pq.read_table(folder / "trials.parquet")) == rows(result.trials())
    by_name = {row["trial"]: row for row in rows(result.trials())}
    for row in kept:
        if row["status"] != "running":
            assert by_name[row["trial"]] == row
