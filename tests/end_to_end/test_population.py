"""Population based training of real models: it takes over, and it repeats itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ntm_ray.corpus import bars
from ntm_ray.tuning import TuningJob

if TYPE_CHECKING:
    from pathlib import Path

WALL_CLOCK = ["started", "seconds"]


def carried_out(slots: int, storage: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The table of trials and the journal of a job with so many slots."""
    job = TuningJob(
        corpus=bars(documents=100),
        hyperparameters={"num_topics": 5, "epochs": 6},
        search_space="focused",
        search="sobol",
        scheduler={"name": "pbt", "interval": 2},
        trials=6,
        slots=slots,
        seed=1,
        storage=storage,
        name=f"{slots}-slots",
    )
    result = job.run()
    assert not result.interrupted
    rows: list[dict[str, Any]] = result.trials().drop_columns(WALL_CLOCK).to_pylist()
    journal = (result.folder / "journal.jsonl").read_text().splitlines()
    return rows, [json.loads(line) for line in journal]


def test_a_population_gives_the_same_table_however_many_slots_it_has(tmp_path: Path) -> None:
    table, journal = carried_out(2, tmp_path)
    taken_over = [event for event in journal if event["event"] == "leg" and event["source"]]
    assert taken_over
    assert {row["epochs"] for row in table if row["status"] == "finished"} == {6}
    again, _ = carried_out(1, tmp_path)
    assert again == table
