"""A whole job with a Searcher and a TrialScheduler of Ray's own, cut in the middle and resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.hyperopt import HyperOptSearch

from ntm_ray.corpus import bars
from ntm_ray.errors import JobError
from ntm_ray.tuning import TuningJob, TuningResult

if TYPE_CHECKING:
    from pathlib import Path

WALL_CLOCK = ["started", "seconds"]


def objects() -> dict[str, Any]:
    return {
        "search": HyperOptSearch(random_state_seed=1, n_initial_points=2),
        "scheduler": ASHAScheduler(max_t=5, grace_period=1, reduction_factor=2),
    }


def table(result: TuningResult) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = result.trials().drop_columns(WALL_CLOCK).to_pylist()
    return rows


def test_a_job_with_rays_own_objects_can_be_cut_and_resumed_from_python(tmp_path: Path) -> None:
    job = TuningJob(
        corpus=bars(documents=60),
        hyperparameters={"num_topics": 5, "epochs": 5},
        search_space="focused",
        trials=8,
        slots=1,
        storage=tmp_path,
        name="job",
        **objects(),
    )
    result = job.run()
    assert not result.interrupted
    before = table(result)
    assert {row["status"] for row in before} >= {"finished", "stopped_early"}
    assert {row["epochs"] for row in before if row["status"] == "finished"} == {5}

    # As a kill -9 half-way leaves it, but for the models of trials.
    journal = tmp_path / "job" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[: len(lines) // 2]))
    with pytest.raises(JobError, match="HyperOptSearch was an object in Python"):
        TuningJob.resume(tmp_path / "job")
    with pytest.raises(JobError, match="AsyncHyperBandScheduler was an object"):
        TuningJob.resume(tmp_path / "job", search=objects()["search"])
    resumed = TuningJob.resume(tmp_path / "job", **objects())
    assert table(resumed) == before
