from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray.model import Hyperparameters
from ntm_ray.report.html import write_html_report
from ntm_ray.tuning import OBJECTIVE, BestTrial, Status, TuningJob, TuningResult
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.storage import Place

if TYPE_CHECKING:
    from pathlib import Path

TOPICS = [["river", "<script>alert(1)</script>"], ["a&b", "sea"]]
SPACE = {
    "name": "made-up <b>space</b>",
    "parameters": [
        {"name": "optimizer", "type": "categorical", "values": ["adam", "adadelta"]},
        {
            "name": "learning_rate",
            "when": {"optimizer": ["adam"]},
            "type": "continuous",
            "min": 1e-4,
            "max": 0.1,
            "scaling": "logarithmic",
        },
        {"name": "mini_batch_size", "type": "integer", "min": 16, "max": 512},
        {
            "name": "weight_decay",
            "type": "continuous",
            "min": 1e-5,
            "max": 0.1,
            "scaling": "logarithmic",
            "disabled": 0.0,
        },
    ],
}
# Its curve and why it ended, for each trial of the search in order.
CURVES: list[tuple[list[float | None], str]] = [
    ([7.0, 6.75, 6.5], "epochs"),
    ([7.1, 6.5, 6.25], "epochs"),
    ([9e9, None], "diverged"),
    ([None], "diverged"),
    ([7.2, 7.15, 7.125], "epochs"),
]
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A page's elements; fails where a tag is closed that is not the innermost open one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.cells: list[str] = []
        self.styles = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, text or "") for name, text in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[-1] += data
        if self.open and self.open[-1] == "style":
            self.styles += data


def tuned(folder: Path, *, finished: bool = True, defaults: float | None = 6.875) -> TuningResult:
    """The result of a job whose trials had `CURVES`, without a training and without Ray."""
    job = TuningJob(
        corpus="synthetic",
        hyperparameters={"num_topics": 2, "epochs": 3},
        search_space=SPACE,
        search="random",
        scheduler="none",
        trials=len(CURVES) if finished else len(CURVES) + 1,
    )
    folder.mkdir()
    (folder / "job.yaml").write_text(job.to_yaml(), encoding="utf-8")
    engine = Engine(job, write=lambda event: None)  # noqa: ARG005
    for losses, reason in [([defaults], "epochs"), *CURVES]:
        trial = engine.next_trial()
        assert trial is not None
        rows = [
            {"epoch": epoch, OBJECTIVE: loss, "seconds": 0.5}
            for epoch, loss in enumerate(losses, start=1)
        ]
        finite = [(loss, epoch) for epoch, loss in enumerate(losses, 1) if loss is not None]
        saved = min(finite)[1] if finite else None
        engine.report(trial.name, rows, stop_reason=reason, saved_epoch=saved)
    best = engine.best
    assert best is not None
    settings = {"feature_dim": 4} | job.hyperparameters | best.configuration
    return TuningResult(
        best=BestTrial(
            trial=best.name,
            hyperparameters=Hyperparameters.parse(settings).to_json_dict(),
            epoch=3,
            metrics={OBJECTIVE: best.best_loss},
            place=Place.at(folder / "best"),
        ),
        baselines={"unigram": 7.1875, "defaults": defaults},
        outcomes={
            status: sum(trial.status is status for trial in engine.searched)
            for status in (Status.FINISHED, Status.STOPPED_EARLY, Status.DIVERGED, Status.FAILED)
        },
        epochs_spent=sum(trial.epochs for trial in engine.searched),
        wall_seconds=93.0,
        place=Place.at(folder),
        interrupted=not finished,
        _engine=engine,
        _feature_dim=4,
    )


def written(result: TuningResult, warnings: tuple[str, ...] = ()) -> str:
    path = result.folder / "report.html"
    write_html_report(result, TOPICS, path, warnings)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TuningResult:
    return tuned(tmp_path_factory.mktemp("runs") / "news & <i>views")


@pytest.fixture(scope="module")
def text(result: TuningResult) -> str:
    return written(result, ("The topics <have> collapsed.",))


def figure(text: str, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The traces and the layout that the page gives to plotly for one plot."""
    call = re.search(rf'Plotly\.newPlot\(\s*"{name}",\s*', text)
    assert call is not None, name
    traces, end = json.JSONDecoder().raw_decode(text, call.end())
    comma = re.compile(r"\s*,\s*").match(text, end)
    assert comma is not None
    layout, _ = json.JSONDecoder().raw_decode(text, comma.end())
    return traces, layout


def trace(text: str, plot: str, name: str) -> dict[str, Any]:
    (found,) = [trace for trace in figure(text, plot)[0] if trace["name"].startswith(name)]
    return found


def test_every_tag_is_closed_in_order(text: str) -> None:
    assert Page(text).open == []


def test_a_browser_has_nothing_to_load(text: str) -> None:
    page = Page(text)
    loading = {"src", "href", "srcset", "data", "poster", "action", "background"}
    assert not [found for found in page.attributes if found[1] in loading]
    assert not {"link", "iframe", "img", "object", "base"} & set(page.tags)
    assert not re.search(r"@import|url\(", page.styles)
    (policy,) = [value for _, _, value in page.attributes if value.startswith("default-src")]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_plotly_is_in_the_file_once(text: str) -> None:
    assert text.count("plotly.js v") == 1


def test_what_users_wrote_is_shown_and_never_run(text: str) -> None:
    page = Page(text)
    assert "river <script>alert(1)</script>" in page.cells
    assert "a&b sea" in page.cells
    assert "<script>alert" not in text
    for harmful in ("<i>views", "<b>space", "<have>"):
        assert harmful not in text
    for escaped in ("news &amp; &lt;i&gt;views", "&lt;b&gt;space", "topics &lt;have&gt; coll"):
        assert escaped in text


def test_the_headline_sets_the_best_loss_beside_both_baselines(text: str) -> None:
    assert re.findall(r"<strong>(.*?)</strong>", text) == ["6.2500", "6.8750", "7.1875"]
    assert "the best trial is 0.6250 better" in text
    assert "the best trial is 0.9375 better" in text


def test_a_best_trial_behind_a_baseline_is_called_worse(tmp_path: Path) -> None:
    assert "the best trial is 0.2500 WORSE" in written(tuned(tmp_path / "job", defaults=6.0))


def test_defaults_that_came_to_no_end_have_neither_number_nor_line(tmp_path: Path) -> None:
    text = written(tuned(tmp_path / "job", defaults=None))
    assert "did not come to an end" in text
    names = [trace["name"] for trace in figure(text, "learning-curves")[0]]
    assert not [name for name in names if "defaults" in name]


def test_learning_curves_are_those_of_the_trials_with_a_gap_between_them(text: str) -> None:
    finished = trace(text, "learning-curves", "finished (3)")
    assert finished["x"] == [1, 2, 3, None, 1, 2, 3, None, 1, 2, 3, None]
    assert finished["y"] == [
        *(7.0, 6.75, 6.5, None),
        *(7.1, 6.5, 6.25, None),
        *(7.2, 7.15, 7.125, None),
    ]
    diverged = trace(text, "learning-curves", "diverged (2)")
    assert diverged["y"] == [9e9, None, None, None, None]
    best = trace(text, "learning-curves", "best: trial 0001")
    assert best["y"] == [7.1, 6.5, 6.25]
    assert best["line"]["width"] > finished["line"]["width"]


@pytest.mark.parametrize("plot", ["learning-curves", "best-so-far"])
def test_both_baselines_are_level_lines(text: str, plot: str) -> None:
    assert trace(text, plot, "unigram")["y"] == [7.1875, 7.1875]
    assert trace(text, plot, "SageMaker")["y"] == [6.875, 6.875]


def test_a_diverged_trial_does_not_squash_the_others(text: str) -> None:
    low, high = figure(text, "learning-curves")[1]["yaxis"]["range"]
    assert low < 6.25
    assert 7.1875 < high < 8


def test_the_best_loss_so_far_never_rises_and_ends_at_the_best(text: str) -> None:
    progress = trace(text, "best-so-far", "best loss so far")
    assert progress["x"][-1] == 12
    assert progress["y"][-1] == 6.25
    known = [loss for loss in progress["y"] if loss is not None]
    assert known == sorted(known, reverse=True)


def test_a_logarithmic_hyperparameter_has_a_logarithmic_axis(text: str) -> None:
    assert figure(text, "panel-learning_rate")[1]["xaxis"]["type"] == "log"
    assert "type" not in figure(text, "panel-mini_batch_size")[1]["xaxis"]


def test_a_panel_shows_each_trial_that_drew_its_hyperparameter(
    text: str, result: TuningResult
) -> None:
    rows = result.trials().to_pylist()
    drew = [row["learning_rate"] for row in rows if row["optimizer"] == "adam"]
    assert 0 < len(drew) < len(rows)
    assert sorted(figure(text, "panel-learning_rate")[0][0]["x"]) == sorted(drew)
    assert len(figure(text, "panel-mini_batch_size")[0][0]["x"]) == len(rows)


def test_a_panel_marks_the_best_trial_and_keeps_the_diverged_at_its_top(
    text: str, result: TuningResult
) -> None:
    (points,), layout = figure(text, "panel-mini_batch_size")
    place = points["marker"]["symbol"].index("star")
    assert points["y"][place] == 6.25
    assert points["x"][place] == result.best.hyperparameters["mini_batch_size"]
    above = [
        y
        for y, symbol in zip(points["y"], points["marker"]["symbol"], strict=True)
        if symbol == "triangle-up-open"
    ]
    assert len(above) == 2
    assert all(7.1875 < y < layout["yaxis"]["range"][1] for y in above)


def test_a_value_that_switches_off_has_its_own_place_on_a_logarithmic_axis(
    text: str, result: TuningResult
) -> None:
    (points,), layout = figure(text, "panel-weight_decay")
    drawn = [row["weight_decay"] for row in result.trials().to_pylist()]
    assert 0 < drawn.count(0.0) < len(drawn)
    axis = layout["xaxis"]
    assert axis["ticktext"][0] == "0"
    assert points["x"].count(axis["tickvals"][0]) == drawn.count(0.0)
    assert axis["tickvals"][0] < 1e-5


def test_categories_are_named_in_the_order_of_the_space(text: str, result: TuningResult) -> None:
    (points,), layout = figure(text, "panel-optimizer")
    assert layout["xaxis"]["ticktext"] == ["adam", "adadelta"]
    places = sorted(round(x) for x in points["x"])
    drawn = [row["optimizer"] for row in result.trials().to_pylist()]
    assert places == sorted(["adam", "adadelta"].index(name) for name in drawn)


def test_the_table_of_trials_begins_with_the_best_and_ends_with_what_has_no_loss(
    text: str,
) -> None:
    rows = re.findall(r"<tr[^>]*><td>(\d{4})</td><td>([^<]*)</td><td>([^<]*)</td>", text)
    assert rows == [
        ("0001", "finished", "6.2500"),
        ("0000", "finished", "6.5000"),
        ("0004", "finished", "7.1250"),
        ("0002", "diverged", "9.0e+09"),
        ("0003", "diverged", "-"),
    ]
    assert re.findall(r"<tr class=best><td>(\d{4})", text) == ["0001"]


def test_all_15_hyperparameters_of_the_best_trial_are_listed(
    text: str, result: TuningResult
) -> None:
    cells = Page(text).cells
    assert len(result.best.hyperparameters) == 15
    assert set(result.best.hyperparameters) <= set(cells)
    assert cells[cells.index("num_topics") :][:3] == ["num_topics", "2", "fixed by the job"]
    assert cells[cells.index("mini_batch_size") + 2] == "searched"


def test_an_interrupted_job_says_so(tmp_path: Path, text: str) -> None:
    sentence = "The job was stopped before all of its trials were carried out."
    assert sentence not in text
    assert sentence in written(tuned(tmp_path / "job", finished=False))


def test_the_old_report_stays_when_the_new_one_cannot_be_made(tmp_path: Path) -> None:
    result = tuned(tmp_path / "job")
    report = result.folder / "report.html"
    report.write_text("old", encoding="utf-8")
    with pytest.raises(TypeError):
        write_html_report(result, [[None]], report)  # type: ignore[list-item]
    assert report.read_text(encoding="utf-8") == "old"
    assert {file.name for file in result.folder.iterdir()} == {"job.yaml", "report.html"}
