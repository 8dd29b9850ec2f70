"""On a cluster the corpus goes to each node once, whatever the number of slots and trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import ray
from ray._private.internal_api import node_stats
from ray.cluster_utils import Cluster
from scipy import sparse

from ntm_ray.corpus import Corpus
from ntm_ray.tuning import TuningJob
from ntm_ray.tuning.progress import Nobody, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NODES = 2
SLOTS_A_NODE = 2
TRIALS = 12


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head that computes nothing, and nodes with several CPUs each."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(NODES):
        cluster.add_node(num_cpus=SLOTS_A_NODE)
    yield cluster
    cluster.shutdown()  # type: ignore[no-untyped-call]


class Store(Nobody):
    """Remembers what was ever put into each node's shared memory, and the most slots at work."""

    def __init__(self) -> None:
        self.put: dict[str, int] = {}
        self.slots = 0

    def update(self, progress: Progress) -> None:
        self.slots = max(self.slots, progress.running)
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"])  # type: ignore[no-untyped-call]
            self.put[node["NodeID"]] = stats.store_stats.cumulative_created_bytes


def test_each_node_holds_the_corpus_once(cluster: Cluster, tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    counts = sparse.csr_matrix(draws.binomial(1, 0.2, (4000, 500)).astype(np.float32))
    words = [f"w{number}" for number in range(500)]
    corpus = Corpus.from_counts(counts[1000:], words, validation=counts[:1000])
    size = counts.data.nbytes + counts.indices.nbytes
    store = Store()
    TuningJob(
        corpus=corpus,
        hyperparameters={"num_topics": 5, "epochs": 40, "mini_batch_size": 128},
        search="random",
        scheduler="none",
        trials=TRIALS,
        storage=tmp_path,
        device="cpu",
    ).run(store, address=cluster.address)
    assert store.slots > NODES
    # The driver's own node, which is the head, and those that train.
    # The driver's own node, which is the head, and those that train.
    assert len(store.put) == NODES + 1
    for put in store.put.values():
        assert size <= put < 1.5 * size
