"""How many topics: what a person sees of the answer."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from ntm_ray.model import Hyperparameters
from ntm_ray.report.judged import BEST_LOSS
from ntm_ray.report.topic_curve import topic_curve
from ntm_ray.report.topic_numbers import (
    TOPIC_NUMBERS_HEAD,
    print_topic_numbers,
    topic_number_cells,
)
from ntm_ray.tuning import OBJECTIVE, TuningJob
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.topic_numbers import TopicNumbers, TopicTrial, topic_numbers
from tests.report.test_report_html import figure, tuned, written

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = [2, 3, 5, 7, 9, 10, 11, 12, 14, 17, 20, 25, 32, 40, 50, 60]
TRIALS = [
    TopicTrial(k, 5 + abs(math.log(k / 11)) * (0.05 if k > 11 else 0.2), k != 20, min(k, 10))
    for k in NUMBERS
]
ROWS = [
    {
        "trial": f"{number:04d}",
        "status": "finished" if trial.finished else "stopped_early",
        "num_topics": trial.topics,
        BEST_LOSS: trial.loss,
    }
    for number, trial in enumerate(TRIALS)
]


def answer() -> TopicNumbers:
    numbers = topic_numbers(TRIALS, 5.9)
    assert numbers is not None
    return numbers


def shown(numbers: TopicNumbers | None) -> list[str]:
    out = io.StringIO()
    print_topic_numbers(Console(file=out, width=80, highlight=False), numbers)
    return out.getvalue().splitlines()


def test_the_terminal_shows_the_answer_and_the_table_in_80_columns() -> None:
    lines = shown(answer())
    assert lines[1] == "How many topics?"
    assert lines[2].startswith("  10 topics")
    text = "\n".join(lines)
    assert all(title in text for title in TOPIC_NUMBERS_HEAD)
    assert max(map(len, lines)) <= 80
    first = [line.split()[0] for line in lines if line.strip()]
    assert [row.label for row in answer().numbers] == first[-len(answer().numbers) :]
    best = max(answer().numbers, key=lambda row: row.probability or 0)
    assert any("█" in line and line.split()[0] == best.label for line in lines)


def test_nothing_is_shown_where_it_was_not_asked() -> None:
    assert shown(None) == []


def test_a_row_says_how_many_trials_count_and_has_dashes_where_nothing_is_known() -> None:
    (row,) = (row for row in answer().numbers if row.counted < row.trials)
    assert topic_number_cells(row)[1] == f"{row.counted} of {row.trials}"
    few = topic_numbers(TRIALS[:3])
    assert few is not None
    assert topic_number_cells(few.numbers[0]) == ["2", "1", "2", "-", "-", "-"]
    assert "more trials are needed" in " ".join(map(str.strip, shown(few)))


def test_the_plot_has_the_curve_its_band_and_the_trials_that_count() -> None:
    numbers = answer()
    figure = topic_curve(numbers, ROWS).to_dict()
    band, curve, trials = figure["data"]
    assert list(curve["x"]) == [point.topics for point in numbers.curve]
    assert len(band["x"]) == 2 * len(numbers.curve)
    assert set(NUMBERS) - set(trials["x"]) == {20}, "one was stopped early"
    assert figure["layout"]["xaxis"]["type"] == "log"
    (held,) = figure["layout"]["shapes"]
    assert numbers.num_topics is not None
    assert (held["x0"], held["x1"]) == (
        numbers.num_topics.low - 0.5,
        numbers.num_topics.high + 0.5,
    )


def test_the_page_has_answer_plot_and_table_and_nothing_of_them_in_other_jobs(
    tmp_path: Path,
) -> None:
    job = TuningJob(
        corpus="synthetic", search_space="how_many", search="sobol",
        hyperparameters={"epochs": 1}, trials=12,
    )  # fmt: skip
    engine = Engine(job, write=lambda event: None)  # noqa: ARG005
    while trial := engine.next_trial():
        topics = engine.hyperparameters(trial)["num_topics"]
        loss = 5 + abs(math.log(topics / 11))
        rows = [{"epoch": 1, OBJECTIVE: loss, "seconds": 0.5}]
        engine.report(trial.name, rows, stop_reason="epochs", saved_epoch=1)
    assert engine.best is not None
    other = tuned(tmp_path / "job")
    settings = {"feature_dim": 4, "epochs": 1} | engine.best.configuration
    hyperparameters = Hyperparameters.parse(settings).to_json_dict()
    best = replace(other.best, trial=engine.best.name, hyperparameters=hyperparameters)
    result = replace(other, _engine=engine, best=best)
    numbers = result.topic_numbers
    assert numbers is not None
    page = written(result)
    assert f"<h2>How many topics?</h2><p>{numbers.answer}</p>" in page
    traces, layout = figure(page, "topic-numbers")
    assert len(traces) == 3
    assert layout["xaxis"]["type"] == "log"
    assert f"<td>{numbers.numbers[-1].label}</td>" in page
    assert "How many topics?" not in written(other)
