"""Whatever goes wrong, in whatever order: every trial ends, once, and as it would have."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from ntm_ray.tuning.engine import Engine
from tests.tuning.made_up import carry_out, job_of, outcome
from tests.tuning.made_up_cluster import MadeUpCluster

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.tuning import TuningJob

SCHEDULERS = ("none", "asha", "asha_promotion", "hyperband", "pbt")
# With these what becomes of a trial depends on no other, or on the others' rungs alone.
INDEPENDENT_OF_ORDER = {"none", "pbt"}


def without_fault(job: TuningJob) -> Engine:
    engine = Engine(job, lambda _: None)
    carry_out(engine)
    return engine


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_job_ends_with_each_trial_proposed_and_each_epoch_counted_once(
    scheduler: str, seed: int, tmp_path: Path
) -> None:
    job = job_of(scheduler=scheduler, trials=(6, 12, 20, 30)[seed % 4], seed=seed)
    cluster = MadeUpCluster(job, seed, fault_rate=(0, 0.02, 0.06)[seed % 3], folder=tmp_path)
    engine = cluster.carry_out()
    assert all(trial.ended for trial in engine.trials.values())
    assert len(engine.searched) == job.trials
    proposed = [event["trial"] for event in cluster.events if event["event"] == "trial"]
    assert sorted(proposed) == sorted(engine.trials)
    if not engine.scheduler.pauses:
        curves = defaultdict[str, list[int]](list)
        for event in cluster.events:
            if event["event"] == "report":
                curves[event["trial"]] += [row["epoch"] for row in event["epochs"]]
        for curve in curves.values():
            assert curve == list(range(1, len(curve) + 1))
    if scheduler in INDEPENDENT_OF_ORDER:
        assert outcome(engine) == outcome(without_fault(job))


def test_all_kinds_of_faults_befall_these_jobs(tmp_path: Path) -> None:
    kinds = set[str]()
    for seed in range(8):
        cluster = MadeUpCluster(job_of(seed=seed), seed, fault_rate=0.06, folder=tmp_path)
        cluster.carry_out()
        kinds |= set(cluster.befallen)
    assert kinds == {"driver", "memory", "node", "process"}
