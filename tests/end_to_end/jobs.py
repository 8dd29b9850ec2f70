"""Jobs of the end-to-end tests, what they come to without Ray, and processes that run them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ntm_ray.model import NTM, Hyperparameters, Training
from ntm_ray.model.measures import MEASURES
from ntm_ray.tuning import OBJECTIVE, SearchSpace, TuningJob
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.trial import epoch_row

if TYPE_CHECKING:
    import pyarrow as pa

    from ntm_ray.corpus import Corpus

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


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table but for what a clock has measured, by trial and epoch."""
    kept = [name for name in table.column_names if name not in WALL_CLOCK]
    order = lambda row: (row["trial"], row.get("epoch", 0))  # noqa: E731
    return sorted(table.select(kept).to_pylist(), key=order)


def curve_alone(
    job: TuningJob, corpus: Corpus, configuration: dict[str, Any], seed: int
) -> list[dict[str, Any]]:
    """What a trial's configuration comes to when nothing but it is trained, without Ray."""
    return [epoch_row(record) for record in trained(job, corpus, configuration, seed).history]


def trained(job: TuningJob, corpus: Corpus, configuration: dict[str, Any], seed: int) -> Training:
    torch.set_num_threads(job.threads)
    settings = {"feature_dim": corpus.feature_dim} | job.hyperparameters | configuration
    training = Training(Hyperparameters.parse(settings), corpus, seed=seed, device="cpu")
    while not training.finished:
        training.train_epoch()
    return training


def exactly(curve: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The losses of a curve to the last bit."""
    names = sorted(name for name in curve[0] if ":" in name)
    return [tuple(None if row[n] is None else row[n].hex() for n in names) for row in curve]


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


def ends(folder: Path) -> list[str]:
    """The trials of a job that have ended so far."""
    try:
        lines = (folder / "journal.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        lines = []
    events = [json.loads(line) for line in lines]
    return [e["trial"] for e in events if e["event"] == "report" and e["stop_reason"]]


def wait_for_ends(folder: Path, number: int, process: subprocess.Popen[str]) -> list[str]:
    """Wait until so many trials of a running job have ended; returns their names."""
    deadline = time.monotonic() + 90
    while len(ended := ends(folder)) < number:
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        assert time.monotonic() < deadline, ended
        time.sleep(0.02)
    return ended


def uncut(job: TuningJob, corpus: Corpus) -> Engine:
    """The job carried out by one slot and without Ray."""
    engine = Engine(job, list[Any]().append)
    while trial := engine.next_trial():
        training = trained(job, corpus, trial.configuration, trial.seed)
        curve = [epoch_row(record) for record in training.history]
        reason = "epochs" if len(curve) == job.epochs else "early_stopping"
        if curve[-1][OBJECTIVE] is None:
            reason = "diverged"
        measured: dict[str, Any] = {}
        if training.best is not None:
            metrics = NTM.from_training(training).metrics
            measured["measures"] = {name: metrics[name] for name in MEASURES}
            measured["measured_epoch"] = training.best.epoch
        engine.report(trial.name, curve, stop_reason=reason, **measured)
    return engine
