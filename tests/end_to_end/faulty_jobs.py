"""A job that faults befall, and that nothing of it may be lost, repeated or changed by them."""

from __future__ import annotations

import functools
import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from ntm_ray.corpus import Corpus
from ntm_ray.tuning import TuningJob
from ntm_ray.tuning.tables import epochs_table, trials_table
from tests.end_to_end.jobs import SPACE, rows, uncut

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from ntm_ray.tuning.engine import Engine

CORPUS = Corpus.read("synthetic")
# A second and a half of a core for each trial.
EPOCHS = 2000
# So many that all nodes are at work before the last has begun, however slowly they start.
TRIALS = 10


def job_in(storage: Path | str) -> TuningJob:
    """A job of a quarter of a minute on two cores, whose trials save what they go on from."""
    return TuningJob(
        corpus="synthetic",
        hyperparameters={"num_topics": 10, "epochs": EPOCHS},
        search_space=SPACE,
        search="random",
        scheduler="none",
        trials=TRIALS,
        seed=1,
        storage=storage,
        name="job",
        device="cpu",
        checkpoint_seconds=0.5,
    )


@functools.cache
def without_fault() -> Engine:
    """The same job as one process alone carries it out."""
    return uncut(job_in("nowhere"), CORPUS)


def events(folder: Path) -> list[dict[str, Any]]:
    """What the journal of a job says so far."""
    file = folder / "journal.jsonl"
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def ended(folder: Path) -> list[str]:
    """The trials that have ended so far."""
    return [e["trial"] for e in events(folder) if e["event"] == "report" and e["stop_reason"]]


def running(folder: Path) -> set[str]:
    """The trials that have reported, and have not ended so far."""
    reported = {e["trial"] for e in events(folder) if e["event"] == "report"}
    return reported - set(ended(folder))


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 240
) -> None:
    """Wait until something is so, while a driver is at work."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            raise AssertionError("the driver has ended: " + "".join(process.communicate()))
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def assert_nothing_is_lost_repeated_or_changed(folder: Path) -> dict[str, Any]:
    """The job has ended, and is as if there had been no fault.

    Returns:
        What its `result.json` says of faults.
    """
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert not result["interrupted"]
    whole, job = without_fault(), job_in("nowhere")
    # To the last bit: the tables hold the losses as they are.
    trials = trials_table(whole.searched, job.hyperparameters, CORPUS.feature_dim)
    assert rows(pq.read_table(folder / "trials.parquet")) == rows(trials)
    assert rows(pq.read_table(folder / "epochs.parquet")) == rows(epochs_table(whole.searched))
    proposed, curves, ends = [], defaultdict[str, list[int]](list), []
    for event in events(folder):
        if event["event"] == "trial":
            proposed.append(event["trial"])
        elif event["event"] == "report":
            # One that had ended has no further report.
            assert event["trial"] not in ends
            curves[event["trial"]] += [row["epoch"] for row in event["epochs"]]
            ends += [event["trial"]] * (event["stop_reason"] is not None)
    assert len(proposed) == len(set(proposed)) == len(ends) == job.trials + 1
    for name, curve in curves.items():
        assert curve == list(range(1, len(curve) + 1)), f"trial {name} counts epochs twice"
    faults: dict[str, Any] = result["faults"]
    return faults
