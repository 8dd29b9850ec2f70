"""What people see of a job that searched for something else than the loss, and of the front."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from ntm_ray.corpus import bars
from ntm_ray.model import Evidence, Hyperparameters
from ntm_ray.model.objectives import OBJECTIVES
from ntm_ray.report import LiveProgress
from ntm_ray.report.front import print_front
from ntm_ray.report.summary import print_result
from ntm_ray.tuning import OBJECTIVE, BestTrial, FoundModel, TuningJob, TuningResult
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.storage import Place
from tests.report.test_report_html import SPACE, TOPICS, Page, figure, trace, written
from tests.report.test_report_terminal import PROGRESS

if TYPE_CHECKING:
    from pathlib import Path

# Loss, NPMI and TU of each trial's two epochs; the yardstick's first.
CURVES: list[list[tuple[float | None, float | None, float | None]]] = [
    [(7.5, 0.0, 0.2), (7.4, 0.05, 0.2)],
    [(7.0, 0.1, 0.5), (6.5, 0.2, 0.6)],
    [(7.2, 0.3, 0.7), (6.9, 0.25, 0.7)],
    [(7.3, 0.1, 0.4), (7.25, 0.15, 0.4)],
    [(9.0, -0.5, 0.9), (None, None, None)],
]


def tuned(folder: Path, objective: str) -> TuningResult:
    job = TuningJob(
        corpus="synthetic",
        hyperparameters={"num_topics": 20, "epochs": 2},
        search_space=SPACE,
        search="random",
        scheduler="none",
        trials=len(CURVES) - 1,
        objective=objective,
    )
    folder.mkdir()
    engine = Engine(job, write=lambda event: None)  # noqa: ARG005
    for curve in CURVES:
        trial = engine.next_trial()
        assert trial is not None
        rows: list[dict[str, Any]] = [
            {"epoch": epoch, OBJECTIVE: loss, "objective": npmi, "npmi": npmi, "seconds": 0.5}
            for epoch, (loss, npmi, _) in enumerate(curve, start=1)
        ]
        scores = [trial.score(row) for row in rows]
        at = scores.index(min(scores))
        measures = {"npmi": curve[at][1], "topic_uniqueness": curve[at][2], "live_topics": 3}
        engine.report(
            trial.name,
            rows,
            stop_reason="diverged" if curve[-1][0] is None else "epochs",
            saved_epoch=at + 1,
            saved_bytes=10,
            measures=measures,
            measured_epoch=at + 1,
        )
    best = engine.best
    assert best is not None
    assert best.saved is not None
    settings = {"feature_dim": 4} | job.hyperparameters | best.configuration
    metrics = {OBJECTIVE: best.saved[OBJECTIVE], "validation:recons_loss": 6.0}
    return TuningResult(
        best=BestTrial(
            trial=best.name,
            hyperparameters=Hyperparameters.parse(settings).to_json_dict(),
            epoch=best.saved["epoch"],
            metrics=metrics | {"validation:kld": 0.5, "kl_per_document": 3, "topic_uniqueness": 1},
            place=Place.at(folder / "best"),
        ),
        baselines={"unigram": 7.6, "defaults": 7.4},
        outcomes=dict(engine.counts),
        epochs_spent=engine.epochs_spent,
        wall_seconds=93.0,
        place=Place.at(folder),
        interrupted=False,
        _engine=engine,
        _feature_dim=4,
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TuningResult:
    return tuned(tmp_path_factory.mktemp("runs") / "job", "npmi")


@pytest.fixture(scope="module")
def text(result: TuningResult) -> str:
    return written(result)


def printed(result: TuningResult, *tuned: str) -> str:
    out = io.StringIO()
    console = Console(file=out, width=80, highlight=False, markup=False, emoji=False)
    print_result(console, result, tuned, TOPICS, Evidence(num_topics=2, epochs=2))
    return out.getvalue()


def test_the_report_has_the_objective_under_its_name(text: str) -> None:
    page = Page(text)
    assert page.open == []
    assert "<h2>npmi, NPMI; less 1 where nearly all topics are the same; more is better" in text
    assert "<strong>0.300</strong>" in text
    assert "the best trial is 0.250 better" in text
    assert "<h2>Best npmi so far</h2>" in text
    assert "unigram model" not in page.cells


def test_curves_and_yardsticks_are_of_the_objective(text: str) -> None:
    best = trace(text, "learning-curves", "best: trial 0001")
    assert best["y"] == [0.3, 0.25]
    traces, layout = figure(text, "learning-curves")
    assert not [one for one in traces if one["name"].startswith("unigram")]
    assert trace(text, "learning-curves", "SageMaker's defaults, 0.050")["y"] == [0.05, 0.05]
    low, high = layout["yaxis"]["range"]
    assert low < 0.05 < 0.3 < high
    assert layout["yaxis"]["title"]["text"] == "npmi"


def test_the_best_so_far_never_falls_where_more_is_better(text: str) -> None:
    values = trace(text, "best-so-far", "best npmi so far")["y"]
    assert values == sorted(values)
    assert values[-1] == 0.3


def test_trials_that_are_far_worse_lie_at_the_lower_edge(text: str) -> None:
    (points,), layout = figure(text, "panel-mini_batch_size")
    low, high = layout["yaxis"]["range"]
    beyond = [
        y
        for y, symbol in zip(points["y"], points["marker"]["symbol"], strict=True)
        if symbol == "triangle-down-open"
    ]
    assert len(beyond) == 1
    assert low < beyond[0] < low + 0.1 * (high - low)


def test_the_table_of_trials_is_in_the_order_of_the_objective_and_shows_measures(
    text: str,
) -> None:
    cells = Page(text).cells
    rows = [
        number
        for number in range(len(cells))
        if cells[number : number + 2] in (["0001", "finished"], ["0000", "finished"])
    ]
    assert [cells[row] for row in rows] == ["0001", "0000"]
    assert cells[rows[0] + 2 : rows[0] + 7] == ["0.300", "0.3", "0.7", "-", "3"]


def test_the_front_is_a_plot_and_a_table(text: str, result: TuningResult) -> None:
    assert [model.trial for model in result.front] == ["0000", "0001", "0003"]
    (points,), _ = figure(text, "front")
    ringed = [
        (x, y)
        for x, y, width in zip(
            points["x"], points["y"], points["marker"]["line"]["width"], strict=True
        )
        if width
    ]
    assert sorted(ringed) == [(6.5, 0.2), (7.2, 0.3), (9.0, -0.5)]
    cells = Page(text).cells
    start = cells.index("6.5000")
    assert cells[start - 1 : start + 4] == ["0000", "6.5000", "0.200", "0.60", "models/0000/2"]


def test_the_terminal_says_the_objective_and_the_front_in_80_columns(
    result: TuningResult,
) -> None:
    text = printed(result)
    lines = [line.rstrip() for line in text.splitlines()]
    assert "npmi: maximize NPMI; less 1 where nearly all topics are the same" in lines
    assert "  best trial, 0001      0.300" in lines
    assert "  SageMaker's defaults  0.050" in lines
    assert "  0000   6.5000   0.200  0.60  models/0000/2" in lines
    assert "  0001   7.2000   0.300  0.70  best" in lines
    assert any(line.endswith(f"best {result.place} --by npmi") for line in lines)
    width = [len(line) for line in lines if str(result.place) not in line]
    assert max(width) <= 80


def test_a_job_that_searched_for_the_loss_says_nothing_of_objectives(tmp_path: Path) -> None:
    result = tuned(tmp_path / "job", OBJECTIVE)
    assert "minimize" not in printed(result)
    assert result.best.trial == "0000"


def test_a_hyperparameter_of_our_own_that_drew_its_default_is_printed(
    result: TuningResult,
) -> None:
    # A model's hyperparameters do not name it then: it is SageMaker's own.
    assert "kl_weight" not in result.best.hyperparameters
    lines = printed(result, "kl_weight", "decoder").splitlines()
    assert ["kl_weight", "1"] in [line.split() for line in lines]
    assert ["decoder", "product"] in [line.split() for line in lines]


def test_live_progress_shows_the_objective_instead_of_the_loss() -> None:
    progress = replace(PROGRESS, objective=OBJECTIVES["topic_quality"], best_value=0.1234)
    for terminal in (True, False):
        out = io.StringIO()
        live = LiveProgress(Console(file=out, force_terminal=terminal, width=80, highlight=False))
        job = TuningJob(corpus="synthetic", objective="topic_quality")
        live.started(job, bars(documents=50), Place.at("runs/job"))
        live.update(progress)
        live.ended()
        assert "topic_quality 0.123" in out.getvalue()
        assert "6.6123" not in out.getvalue()
        assert "objective topic_quality" in " ".join(out.getvalue().split())


def test_of_a_large_front_the_extremes_are_shown_and_the_others_counted() -> None:
    models = [
        FoundModel(
            f"{n:04d}",
            3,
            {OBJECTIVE: 7.0 + n / 100, "npmi": n / 100, "topic_uniqueness": (n * 7 % 20) / 20},
            20,
            is_kept=n % 2 == 0,
        )
        for n in range(20)
    ]
    out = io.StringIO()
    print_front(Console(file=out, width=80, highlight=False), models, "0000")
    shown = [line.split()[0] for line in out.getvalue().splitlines() if line.startswith("  0")]
    most_unique = max(models, key=lambda m: m.figures["topic_uniqueness"] or 0).trial
    assert len(shown) == 8
    assert {"0000", "0019", most_unique} <= set(shown)
    assert "and 12 more in report.html and result.json" in out.getvalue()
    assert "not kept" in out.getvalue()
    again = io.StringIO()
    print_front(Console(file=again), models[:1], "0000")
    assert again.getvalue() == ""
