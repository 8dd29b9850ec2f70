"""The plots of the HTML report."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from ntm_ray.report.wording import value
from ntm_ray.tuning import OBJECTIVE, Status
from ntm_ray.tuning.space import Categorical

if TYPE_CHECKING:
    from ntm_ray.tuning import TuningResult
    from ntm_ray.tuning.space import Parameter

    Row = dict[str, Any]

BEST_LOSS = f"best_{OBJECTIVE}"
YARDSTICKS = {"defaults": "SageMaker's defaults", "unigram": "unigram model"}
# Okabe and Ito's colours, which colour-blind people tell apart, on white and on near-black.
_BEST_COLOUR = "#009E73"
_COLOURS = {
    Status.FINISHED: "#0072B2",
    Status.STOPPED_EARLY: "#E69F00",
    Status.DIVERGED: "#CC79A7",
    Status.FAILED: "#D55E00",
    Status.RUNNING: "#56B4E9",
    Status.PAUSED: "#999999",
}
_FAINT = "rgba(128,128,128,0.3)"
PANEL = "panel-"


def loss_range(result: TuningResult) -> tuple[float, float]:
    """Bounds for a loss axis, nats a word, within which the trials that matter differ visibly.

    They are set by the best trial and the baselines, with room above: if the axis had to hold
    every trial, those that diverged would squash the others.
    """
    marks = [result.best.metrics[OBJECTIVE], *filter(None, result.baselines.values())]
    room = max(max(marks) - min(marks), 0.05)
    return min(marks) - 0.08 * room, max(marks) + 0.4 * room


def learning_curves(
    result: TuningResult, trials: list[Row], losses: tuple[float, float]
) -> go.Figure:
    """Every trial's loss by epoch, the best one's thick, beside the yardsticks."""
    curves: dict[str, list[Row]] = {row["trial"]: [] for row in trials}
    for epoch in result.epochs().to_pylist():
        curves[epoch["trial"]].append(epoch)
    figure = blank_figure("epoch", losses, height=460)
    for status, colour in _COLOURS.items():
        names = [row["trial"] for row in trials if row["status"] == status]
        # One trace for all: a gap after each curve keeps them apart.
        gap = dict.fromkeys(("epoch", OBJECTIVE, "trial"))
        points = [point for name in names if curves[name] for point in (*curves[name], gap)]
        if points:
            _add_curve(figure, points, f"{status_words(status)} ({len(names)})", colour, width=1.2)
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


def best_so_far(result: TuningResult, trials: list[Row], losses: tuple[float, float]) -> go.Figure:
    """The least loss of all trials so far against the epochs that all of them have trained."""
    ended = sorted(trials, key=lambda row: row["started"].timestamp() + row["seconds"])
    figure = blank_figure("epochs spent by all trials", losses, height=340)
    figure.add_scatter(
        x=list(accumulate(row["epochs"] for row in ended)),
        y=list(
            accumulate((math.inf if r[BEST_LOSS] is None else r[BEST_LOSS] for r in ended), min)
        ),
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
                name=f"{YARDSTICKS[name]}, {loss:.4f}",
                line={"color": "#808080", "width": 2, "dash": dash},
                hoverinfo="skip",
            )


def panel(
    result: TuningResult,
    trials: list[Row],
    parameters: list[Parameter],
    losses: tuple[float, float],
) -> go.Figure:
    """One hyperparameter against best loss; what lies above the axis is a triangle at its top."""
    name = parameters[0].name
    shown = [row for row in trials if is_active(parameters, row)]
    # The best last, so that nothing hides it.
    shown.sort(key=lambda row: row["trial"] == result.best.trial)
    top = losses[0] + 0.97 * (losses[1] - losses[0])
    is_best = [row["trial"] == result.best.trial for row in shown]
    is_above = [row[BEST_LOSS] is None or row[BEST_LOSS] > top for row in shown]
    axis, positions = _axis(parameters, [row[name] for row in shown])
    figure = blank_figure("", losses, height=250)
    figure.add_scatter(
        x=positions,
        y=[top if above else row[BEST_LOSS] for row, above in zip(shown, is_above, strict=True)],
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
            f"trial {row['trial']}, {status_words(row['status'])}<br>{name}={value(row[name])}<br>"
            f"best loss {loss_words(row)}"
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


def is_active(parameters: list[Parameter], row: Row) -> bool:
    """Whether a trial, a row of the table, drew one of the parameters of a name."""
    return any(parameter.is_active(row) for parameter in parameters)


def blank_figure(x: str, losses: tuple[float, float], height: int) -> go.Figure:
    """A figure without traces; a loss on its y axis, nats a word."""
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


def plot_div(figure: go.Figure, name: str, heading: str = "") -> str:
    """A figure as a piece of the page, which has plotly.js already."""
    # None of the buttons that would send the figure somewhere.
    buttons = [["zoom2d", "pan2d", "autoScale2d", "resetScale2d", "toImage"]]
    config = {"displaylogo": False, "responsive": True, "modeBarButtons": buttons}
    if name.startswith(PANEL):
        config["displayModeBar"] = False
    div: str = figure.to_html(config, include_plotlyjs=False, full_html=False, div_id=name)
    return f'<div class="plot">{heading}{div}</div>'


def status_words(status: str) -> str:
    """A status as people read it."""
    return status.replace("_", " ")


def loss_words(row: Row) -> str:
    """A trial's best loss; one that diverged may have none, or one of many digits."""
    loss = row[BEST_LOSS]
    return "-" if loss is None else f"{loss:.4f}" if loss < 1e4 else f"{loss:.1e}"
