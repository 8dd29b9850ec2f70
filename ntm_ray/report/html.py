"""The HTML report of a tuning job: one file with everything in it, to look at and to send on."""

from __future__ import annotations

import math
from html import escape
from itertools import accumulate
from string import Template
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from ntm_ray.corpus.atomic import replacing
from ntm_ray.report.wording import count, duration, value
from ntm_ray.tuning import OBJECTIVE, Status, TuningJob
from ntm_ray.tuning.space import Categorical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ntm_ray.tuning import TuningResult
    from ntm_ray.tuning.space import Continuous, Integer

    Row = dict[str, Any]
    Parameter = Categorical | Integer | Continuous

_LOSS = f"best_{OBJECTIVE}"
_YARDSTICKS = {"defaults": "SageMaker's defaults", "unigram": "unigram model"}
# Okabe and Ito's colours, which colour-blind people tell apart, on white and on near-black.
_BEST_COLOUR = "#009E73"
_COLOURS = {
    Status.FINISHED: "#0072B2",
    Status.STOPPED_EARLY: "#E69F00",
    Status.DIVERGED: "#CC79A7",
    Status.FAILED: "#D55E00",
    Status.RUNNING: "#56B4E9",
}
_FAINT = "rgba(128,128,128,0.3)"
_PANEL = "panel-"


def write_html_report(
    result: TuningResult, topics: list[list[str]], path: Path, warnings: Sequence[str] = ()
) -> None:
    """Write a page about a tuning job that needs no other file and no network.

    Args:
        result: What the job found; its folder holds the job file.
        topics: The best model's topics, as words.
        path: The file to write. It is replaced at once, by the whole page: about 5 MB, nearly
            all of it plotly.js.
        warnings: What must be said of the best model, a sentence each.

    Raises:
        JobError: If the job file in the result's folder cannot be read.
        OSError: If the file cannot be written.
    """
    page = _page(result, TuningJob.read(result.folder / "job.yaml"), topics, warnings)
    with replacing(path) as file:
        file.write(page.encode())


def _page(
    result: TuningResult, job: TuningJob, topics: list[list[str]], warnings: Sequence[str]
) -> str:
    trials = result.trials().to_pylist()
    searched: dict[str, list[Parameter]] = {}
    for parameter in job.free_space.parameters:
        searched.setdefault(parameter.name, []).append(parameter)
    losses = _loss_range(result)
    panels = [
        _div(_panel(result, trials, parameters, losses), _PANEL + name, f"<h3>{name}</h3>")
        for name, parameters in searched.items()
    ]
    if result.interrupted:
        warnings = ["The job was stopped before all of its trials were carried out.", *warnings]
    return Template(_PAGE).substitute(
        plotly=get_plotlyjs(),
        name=escape(result.folder.name),
        job=escape(_job_line(result, job)),
        warnings="".join(f'<p class="warning">{escape(warning)}</p>' for warning in warnings),
        headline=_headline(result),
        curves=_div(_learning_curves(result, trials, losses), "learning-curves"),
        progress=_div(_best_so_far(result, trials, losses), "best-so-far"),
        panels="".join(panels) or "<p>No hyperparameter was searched.</p>",
        trials=_trials_table(result, trials, searched),
        topics=_table(
            ["topic", "most probable words first"],
            ([str(number), " ".join(words)] for number, words in enumerate(topics)),
        ),
        best=escape(result.best.trial),
        hyperparameters=_hyperparameters_table(result, job),
    )


# Words and tables


def _job_line(result: TuningResult, job: TuningJob) -> str:
    outcomes = ", ".join(
        f"{number} {_words(status)}" for status, number in result.outcomes.items() if number
    )
    return (
        f"{count(sum(result.outcomes.values()), 'trial')}: {outcomes}; "
        f"{count(result.epochs_spent, 'epoch')} spent in {duration(result.wall_seconds)}. "
        f"Search {job.search} over {job.free_space.name}, scheduler {job.scheduler}, "
        f"{job.hyperparameters['num_topics']} topics, at most {count(job.epochs, 'epoch')} "
        f"a trial, seed {job.seed}."
    )


def _headline(result: TuningResult) -> str:
    loss = result.best.metrics[OBJECTIVE]
    about = f"trial {result.best.trial}, epoch {result.best.epoch}"
    cards = [_card("best trial", f"{loss:.4f}", about, "best")]
    for name, label in _YARDSTICKS.items():
        yardstick = result.baselines.get(name)
        if yardstick is None:
            cards.append(_card(label, "-", "did not come to an end"))
            continue
        better = "better" if loss < yardstick else "WORSE"
        difference = f"the best trial is {abs(yardstick - loss):.4f} {better}"
        cards.append(_card(label, f"{yardstick:.4f}", difference))
    return "".join(cards)


def _card(label: str, figure: str, note: str, kind: str = "") -> str:
    return (
        f'<div class="card {kind}"><span>{escape(label)}</span><strong>{escape(figure)}</strong>'
        f"<span>{escape(note)}</span></div>"
    )


def _trials_table(
    result: TuningResult, trials: list[Row], searched: dict[str, list[Parameter]]
) -> str:
    rows: list[list[str]] = []
    best = None
    for row in sorted(trials, key=lambda row: math.inf if row[_LOSS] is None else row[_LOSS]):
        if row["trial"] == result.best.trial:
            best = len(rows)
        # What a trial had no use for, it did not draw: its default would only mislead.
        drawn = [
            value(row[name]) if _is_active(parameters, row) else "-"
            for name, parameters in searched.items()
        ]
        status = _words(row["status"])
        cells = [
            row["trial"],
            status,
            _loss(row),
            str(row["epochs"]),
            f"{row['seconds']:.1f}",
            *drawn,
        ]
        rows.append(cells)
    head = ["trial", "status", "best loss", "epochs", "seconds", *searched]
    return _table(head, rows, "sortable", best)


def _hyperparameters_table(result: TuningResult, job: TuningJob) -> str:
    best = result.best.hyperparameters
    drawn = {p.name for p in job.free_space.parameters if p.is_active(best)}
    origins = dict.fromkeys(job.hyperparameters, "fixed by the job") | {"feature_dim": "corpus"}
    origins |= dict.fromkeys(drawn, "searched")
    rows = ([name, value(best[name]), origins.get(name, "default")] for name in best)
    return _table(["hyperparameter", "value", "from"], rows)


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "", best: int | None = None
) -> str:
    body = [
        f"<tr{' class=best' if number == best else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for number, cells in enumerate(rows)
    ]
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _words(status: str) -> str:
    return status.replace("_", " ")


def _loss(row: Row) -> str:
    """A trial's best loss; one that diverged may have none, or one of many digits."""
    loss = row[_LOSS]
    return "-" if loss is None else f"{loss:.4f}" if loss < 1e4 else f"{loss:.1e}"


# Plots


def _loss_range(result: TuningResult) -> tuple[float, float]:
    """Bounds for a loss axis, nats a word, within which the trials that matter differ visibly.

    They are set by the best trial and the baselines, with room above: if the axis had to hold
    every trial, those that diverged would squash the others.
    """
    marks = [result.best.metrics[OBJECTIVE], *filter(None, result.baselines.values())]
    room = max(max(marks) - min(marks), 0.05)
    return min(marks) - 0.08 * room, max(marks) + 0.4 * room


def _learning_curves(
    result: TuningResult, trials: list[Row], losses: tuple[float, float]
) -> go.Figure:
    curves: dict[str, list[Row]] = {row["trial"]: [] for row in trials}
    for epoch in result.epochs().to_pylist():
        curves[epoch["trial"]].append(epoch)
    figure = _figure("epoch", losses, height=460)
    for status, colour in _COLOURS.items():
        names = [row["trial"] for row in trials if row["status"] == status]
        # One trace for all: a gap after each curve keeps them apart.
        gap = dict.fromkeys(("epoch", OBJECTIVE, "trial"))
        points = [point for name in names if curves[name] for point in (*curves[name], gap)]
        if points:
            _add_curve(figure, points, f"{_words(status)} ({len(names)})", colour, width=1.2)
    best = curves[result.best.trial]
    _add_curve(figure, best, f"best: trial {result.best.trial}", _BEST_COLOUR, width=4)
    _add_yardsticks(figure, result, 1, max(len(curve) for curve in curves.values()))
    return figure


def _add_curve(figure: go.Figure, points: list[Row], name: str, colour: str, width: float) -> None:
    figure.add_scatter(
        x=[point["epoch"] for point in points],
        y=[point[OBJECTIVE] for point in points],
        customdata=[point["trial"] for point in points],
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": width},
        marker={"size": 3 + width},
        hovertemplate="trial %{customdata}, epoch %{x}: %{y:.4f}<extra></extra>",
    )


def _best_so_far(
    result: TuningResult, trials: list[Row], losses: tuple[float, float]
) -> go.Figure:
    ended = sorted(trials, key=lambda row: row["started"].timestamp() + row["seconds"])
    figure = _figure("epochs spent by all trials", losses, height=340)
    figure.add_scatter(
        x=list(accumulate(row["epochs"] for row in ended)),
        y=list(accumulate((math.inf if r[_LOSS] is None else r[_LOSS] for r in ended), min)),
        customdata=[row["trial"] for row in ended],
        mode="lines+markers",
        name="best loss so far",
        line={"color": _BEST_COLOUR, "width": 3, "shape": "hv"},
        hovertemplate="%{x} epochs, after trial %{customdata}: %{y:.4f}<extra></extra>",
    )
    _add_yardsticks(figure, result, 0, result.epochs_spent)
    return figure


def _add_yardsticks(figure: go.Figure, result: TuningResult, start: int, end: int) -> None:
    for name, dash in (("defaults", "dot"), ("unigram", "dash")):
        if (loss := result.baselines.get(name)) is not None:
            figure.add_scatter(
                x=[start, end],
                y=[loss, loss],
                mode="lines",
                name=f"{_YARDSTICKS[name]}, {loss:.4f}",
                line={"color": "#808080", "width": 2, "dash": dash},
                hoverinfo="skip",
            )


def _panel(
    result: TuningResult,
    trials: list[Row],
    parameters: list[Parameter],
    losses: tuple[float, float],
) -> go.Figure:
    """One hyperparameter against best loss; what lies above the axis is a triangle at its top."""
    name = parameters[0].name
    shown = [row for row in trials if _is_active(parameters, row)]
    # The best last, so that nothing hides it.
    shown.sort(key=lambda row: row["trial"] == result.best.trial)
    top = losses[0] + 0.97 * (losses[1] - losses[0])
    is_best = [row["trial"] == result.best.trial for row in shown]
    is_above = [row[_LOSS] is None or row[_LOSS] > top for row in shown]
    axis, positions = _axis(parameters, [row[name] for row in shown])
    figure = _figure("", losses, height=250)
    figure.add_scatter(
        x=positions,
        y=[top if above else row[_LOSS] for row, above in zip(shown, is_above, strict=True)],
        mode="markers",
        marker={
            "color": [
                _BEST_COLOUR if best else _COLOURS[Status(row["status"])]
                for row, best in zip(shown, is_best, strict=True)
            ],
            "size": [15 if best else 8 for best in is_best],
            "opacity": 0.85,
            "line": {"width": [1 if above else 0 for above in is_above]},
            "symbol": [
                "star" if best else "triangle-up-open" if above else "circle"
                for best, above in zip(is_best, is_above, strict=True)
            ],
        },
        text=[
            f"trial {row['trial']}, {_words(row['status'])}<br>{name}={value(row[name])}<br>"
            f"best loss {_loss(row)}"
            for row in shown
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(axis)
    figure.update_layout(showlegend=False, font_size=12, margin={"r": 8, "t": 4, "b": 30})
    return figure


def _axis(parameters: list[Parameter], values: list[Any]) -> tuple[Row, list[float]]:
    """The x axis of a panel, as wide as the search space, and where on it the values lie."""
    edges: list[Any] = [edge for parameter in parameters for edge in parameter.edges()]
    ranges = [parameter for parameter in parameters if not isinstance(parameter, Categorical)]
    if len(ranges) < len(parameters):
        categories = list(dict.fromkeys(map(value, [*edges, *values])))
        # Side by side, evenly by the golden ratio: else equal values lie on top of each other.
        spread = (0.5 * (number * 0.618034 % 1 - 0.5) for number in range(len(values)))
        found = [categories.index(value(v)) + s for v, s in zip(values, spread, strict=True)]
        end = len(categories) - 0.5
        places = list(range(len(categories)))
        return {"tickvals": places, "ticktext": categories, "range": [-0.5, end]}, found
    edges.sort()
    if all(parameter.scaling == "linear" for parameter in ranges):
        room = 0.04 * (edges[-1] - edges[0])
        return {"range": [edges[0] - room, edges[-1] + room]}, values
    low, high = (math.log10(end) for end in (min(filter(None, edges)), edges[-1]))
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps = (1, 2, 5) if len(decades) < 4 else (1,)
    ticks = [step * 10.0**decade for decade in decades[:: 1 + len(decades) // 7] for step in steps]
    ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
    labels = [value(tick) for tick in ticks]
    if edges[0] == 0:
        # A logarithmic axis has no 0, which switches a hyperparameter off: it stands to the left.
        low -= 0.15 * (high - low)
        ticks, labels = [10**low, *ticks], ["0", *labels]
    room = 0.04 * (high - low)
    axis = {"type": "log", "range": [low - room, high + room]}
    return axis | {"tickvals": ticks, "ticktext": labels, "tickangle": 0}, [
        v or 10**low for v in values
    ]


def _is_active(parameters: list[Parameter], row: Row) -> bool:
    return any(parameter.is_active(row) for parameter in parameters)


def _figure(x: str, losses: tuple[float, float], height: int) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 56, "r": 36, "t": 12, "b": 48},
        font={"family": "system-ui, sans-serif", "size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "bgcolor": "rgba(0,0,0,0)"},
        modebar={"orientation": "v", "bgcolor": "rgba(0,0,0,0)", "color": "#808080"},
        hovermode="closest",
        # Else a finger that scrolls the page zooms into the plot.
        dragmode=False,
    )
    figure.update_xaxes(title=x, gridcolor=_FAINT, zeroline=False, automargin=True)
    figure.update_yaxes(title="nats a word", range=losses, gridcolor=_FAINT, zeroline=False)
    return figure


def _div(figure: go.Figure, name: str, heading: str = "") -> str:
    # None of the buttons that would send the figure somewhere.
    buttons = [["zoom2d", "pan2d", "autoScale2d", "resetScale2d", "toImage"]]
    config = {"displaylogo": False, "responsive": True, "modeBarButtons": buttons}
    if name.startswith(_PANEL):
        config["displayModeBar"] = False
    div: str = figure.to_html(config, include_plotlyjs=False, full_html=False, div_id=name)
    return f'<div class="plot">{heading}{div}</div>'


# The policy makes the browser itself refuse whatever is not in the file.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';
 script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$name: tuning report</title>
<style>
:root { --ink: #1d2129; --soft: #5b6472; --page: #fff; --card: #f4f6f8; --line: #d9dee5;
 --best: #00704f; --warn: #fdf1d8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3acb9; --page: #14171b;
 --card: #1e2329; --line: #353c46; --best: #3ccb9f; --warn: #4a3a12; } }
html { overflow-y: scroll; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 68rem; color: var(--ink);
 background: var(--page); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: .875rem; margin: .75rem 0 0; }
p { margin: .25rem 0 .75rem; } .soft { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: .75rem; }
.card { background: var(--card); border-radius: .5rem; padding: .75rem 1rem; }
.card span { display: block; font-size: .875rem; color: var(--soft); }
.card strong { font-size: 1.9rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.card.best { outline: 2px solid var(--best); } .card.best strong { color: var(--best); }
.warning { background: var(--warn); border-radius: .5rem; padding: .5rem 1rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
.plot { min-width: 0; }
.plot :is(.xaxislayer-above, .yaxislayer-above, .infolayer) text { fill: var(--ink) !important; }
.wide { overflow: auto; max-height: 36rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line);
 vertical-align: top; }
th { position: sticky; top: 0; background: var(--page); color: var(--soft); font-weight: 600; }
.sortable td { white-space: nowrap; } .sortable th { cursor: pointer; white-space: nowrap; }
tr.best td { color: var(--best); font-weight: 600; }
</style>
<script>$plotly</script>
</head>
<body>
<h1>$name</h1>
<p class="soft">$job</p>
$warnings
<h2>Validation loss, nats a word; less is better</h2>
<div class="cards">$headline</div>
<h2>Learning curves</h2>
<p class="soft">validation:total_loss of every trial. What lies far above the baselines is cut off;
&ldquo;Autoscale&rdquo; beside the plot shows all.</p>
$curves
<h2>Best loss so far</h2>
$progress
<h2>Where the good trials lie</h2>
<p class="soft">Best loss of each trial, by each hyperparameter that was searched. The star is the
best trial; colours are those of the learning curves. A triangle lies above the plot.</p>
<div class="panels">$panels</div>
<h2>Trials</h2>
<p class="soft">Best first; a click on a heading sorts by it.</p>
$trials
<h2>Topics of the best trial</h2>
$topics
<h2>Hyperparameters of the best trial, $best</h2>
$hyperparameters
<script>
for (const heading of document.querySelectorAll(".sortable th")) {
  let sign = -1;
  heading.addEventListener("click", () => {
    const body = heading.closest("table").tBodies[0], column = heading.cellIndex;
    const text = row => row.cells[column].textContent;
    sign = -sign;
    body.append(...Array.from(body.rows).sort((one, other) =>
      (text(one) === "-") - (text(other) === "-") ||  // what has no value comes last
      sign * (text(one) - text(other) || text(one).localeCompare(text(other)))));
  });
}
</script>
</body>
</html>
"""
