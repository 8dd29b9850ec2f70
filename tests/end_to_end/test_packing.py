"""Resources on a cluster: what is set aside for a trial, and how many train at a time."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import ray
from ray.cluster_utils import Cluster

from ntm_ray.corpus import Corpus
from ntm_ray.model import Hyperparameters
from ntm_ray.model.memory import CorpusSize, training_memory
from ntm_ray.tuning import SearchSpace, Status, TuningJob
from ntm_ray.tuning.progress import Nobody, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CORPUS = Corpus.read("synthetic")
SIZE = CorpusSize(CORPUS.feature_dim, CORPUS.documents["train"], CORPUS.train.nnz)
SPACE = SearchSpace.parse(
    {
        "name": "small and large",
        "parameters": [{"name": "num_topics", "type": "categorical", "values": [5, 400]}],
    },
    "small and large",
)


def memory_of(topics: int) -> int:
    settings = {"feature_dim": CORPUS.feature_dim, "num_topics": topics}
    return training_memory(Hyperparameters.parse(settings), SIZE, "cpu").total


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that computes nothing, and a node of four CPUs with memory for two small trials."""
    before = os.environ.get("RAY_AUTH_MODE")
    os.environ["RAY_AUTH_MODE"] = "disabled"
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=4, num_gpus=1, memory=int(2.2 * memory_of(5)))
    yield cluster
    cluster.shutdown()  # type: ignore[no-untyped-call]
    if before is None:
        del os.environ["RAY_AUTH_MODE"]
    else:
        os.environ["RAY_AUTH_MODE"] = before


class Most(Nobody):
    """Remembers how many trials were ever at work at a time."""

    def __init__(self) -> None:
        self.running = 0

    def update(self, progress: Progress) -> None:
        self.running = max(self.running, progress.running)


def job_in(storage: Path, **fields: Any) -> TuningJob:
    settings = {
        "corpus": "synthetic",
        "hyperparameters": {"epochs": 40, "mini_batch_size": 64},
        "search_space": SPACE,
        "search": "random",
        "scheduler": "none",
        "trials": 6,
        "storage": storage,
        "name": "job",
        "device": "cpu",
    }
    return TuningJob(**(settings | fields))


def at_work(folder: Path) -> int:
    """How many trials trained at a time at most, by when their epochs were reported."""
    lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    most, running = 0, set()
    for event in map(json.loads, lines):
        if event["event"] == "trial":
            running.add(event["trial"])
        elif event["event"] == "report" and event["stop_reason"]:
            running.discard(event["trial"])
        most = max(most, len(running))
    return most


def test_max_concurrent_is_kept_to_exactly(cluster: Cluster, tmp_path: Path) -> None:
    job = job_in(tmp_path, max_concurrent=2, hyperparameters={"num_topics": 5, "epochs": 40})
    most = Most()
    result = job.run(most, address=cluster.address)
    assert result.outcomes[Status.FINISHED] == 6
    assert at_work(tmp_path / "job") == 2
    assert most.running <= 2


def test_trials_that_do_not_fit_a_nodes_memory_together_wait_for_each_other(
    cluster: Cluster, tmp_path: Path
) -> None:
    job = job_in(tmp_path)
    result = job.run(address=cluster.address)
    trials = result.trials().to_pylist()
    assert {row["status"] for row in trials} == {"finished"}
    assert {row["num_topics"] for row in trials} == {5, 400}
    # Of four CPUs, memory lets two be used; a third is proposed, and waits for them.
    assert at_work(tmp_path / "job") <= 3


def test_a_job_waits_for_a_node_that_has_what_a_trial_needs(
    cluster: Cluster, tmp_path: Path
) -> None:
    job = job_in(tmp_path, cpus_per_trial=6, trials=1, hyperparameters={"epochs": 2})

    class StartsANode(Nobody):
        said: str | None = None

        def update(self, progress: Progress) -> None:
            if progress.note and self.said is None:
                self.said = progress.note
                cluster.add_node(num_cpus=6, wait=False)

    observer = StartsANode()
    result = job.run(observer, address=cluster.address)
    assert observer.said is not None
    assert "no node has 6 CPU to spare" in observer.said
    assert set(result.faults.values()) == {0}
    assert result.outcomes[Status.FINISHED] == 1


def test_a_share_of_a_gpu_is_set_aside_and_the_process_is_shown_no_other(
    cluster: Cluster, tmp_path: Path
) -> None:
    job = job_in(
        tmp_path,
        device="auto",
        gpus_per_trial=0.5,
        hyperparameters={"num_topics": 5, "epochs": 40},
    )
    result = job.run(address=cluster.address)
    assert result.outcomes[Status.FINISHED] == 6
    # Four CPUs, but two halves of a GPU.
    assert at_work(tmp_path / "job") == 2


def test_ray_is_left_when_a_job_on_a_cluster_has_ended() -> None:
    assert not ray.is_initialized()
