"""The plots of the HTML report."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from ntm_ray.report.judged import YARDSTICKS
from ntm_ray.report.wording import value
from ntm_ray.tuning import Status
from ntm_ray.tuning.front import FRONT
from ntm_ray.tuning.space import Categorical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntm_ray.report.judged import Judged
    from ntm_ray.tuning import FoundModel, TuningResult
    from ntm_ray.tuning.space import Parameter

    Row = dict[str, Any]

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


def learning_curves(result: TuningResult, trials: list[Row], judged: Judged) -> go.Figure:
    """Every trial's objective by epoch, the best one's thick, beside the yardsticks."""
    curves: dict[str, list[Row]] = {row["trial"]: [] for row in trials}
    for epoch in result.epochs().to_pylist():
        curves[epoch["trial"]].append(epoch)
    figure = _figure("epoch", judged, height=460)
    for status, colour in _COLOURS.items():
        names = [row["trial"] for row in trials if row["status"] == status]
        # One trace for all: a gap after each curve keeps them apart.
        gap = dict.fromkeys(("epoch", judged.column, "trial"))
        points = [point for name in names if curves[name] for point in (*curves[name], gap)]
        if points:
            name = f"{status_words(status)} ({len(names)})"
            _add_curve(figure, points, judged.column, name, colour, width=1.2)
    best = curves[result.best.trial]
    name = f"best: trial {result.best.trial}"
    _add_curve(figure, best, judged.column, name, _BEST_COLOUR, width=4)
    _add_yardsticks(figure, judged, 1, max(len(curve) for curve in curves.values()))
    return figure


def _add_curve(
    figure: go.Figure, points: list[Row], column: str, name: str, colour: str, width: float
) -> None:
    figure.add_scatter(
        x=[point["epoch"] for point in points],
        y=[point[column] for point in points],
        customdata=[point["trial"] for point in points],
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": width},
        marker={"size": 3 + width},
        hovertemplate="trial %{customdata}, epoch %{x}: %{y:.4f}<extra></extra>",
    )


def best_so_far(result: TuningResult, trials: list[Row], judged: Judged) -> go.Figure:
    """The best of all trials so far against the epochs that all of them have trained."""
    ended = sorted(trials, key=lambda row: row["started"].timestamp() + row["seconds"])
    figure = _figure("epochs spent by all trials", judged, height=340)
    figure.add_scatter(
        x=list(accumulate(row["epochs"] for row in ended)),
        y=list(
            accumulate(
                (
                    math.nan if r[judged.best_column] is None else r[judged.best_column]
                    for r in ended
                ),
                judged.better,
            )
        ),
        customdata=[row["trial"] for row in ended],
        mode="lines+markers",
        name=f"best {judged.name} so far",
        line={"color": _BEST_COLOUR, "width": 3, "shape": "hv"},
        hovertemplate="%{x} epochs, after trial %{customdata}: %{y:.4f}<extra></extra>",
    )
    _add_yardsticks(figure, judged, 0, result.epochs_spent)
    return figure


def _add_yardsticks(figure: go.Figure, judged: Judged, start: int, end: int) -> None:
    for name, dash in (("defaults", "dot"), ("unigram", "dash")):
        if (mark := judged.yardsticks.get(name)) is not None:
            figure.add_scatter(
                x=[start, end],
                y=[mark, mark],
                mode="lines",
                name=f"{YARDSTICKS[name]}, {judged.objective.words(mark)}",
                line={"color": "#808080", "width": 2, "dash": dash},
                hoverinfo="skip",
            )


def panel(
    result: TuningResult,
    trials: list[Row],
    parameters: list[Parameter],
    judged: Judged,
) -> go.Figure:
    """One hyperparameter against the best; what lies beyond the axis is a triangle at its edge."""
    name = parameters[0].name
    shown = [row for row in trials if is_active(parameters, row)]
    # The best last, so that nothing hides it.
    shown.sort(key=lambda row: row["trial"] == result.best.trial)
    is_best = [row["trial"] == result.best.trial for row in shown]
    is_beyond = [judged.is_beyond(row[judged.best_column]) for row in shown]
    beyond = f"triangle-{'down' if judged.objective.is_maximized else 'up'}-open"
    axis, positions = _axis(parameters, [row[name] for row in shown])
    figure = _figure("", judged, height=250)
    figure.add_scatter(
        x=positions,
        y=[
            judged.edge if is_out else row[judged.best_column]
            for row, is_out in zip(shown, is_beyond, strict=True)
        ],
        mode="markers",
        marker={
            "color": [
                _BEST_COLOUR if best else _COLOURS[Status(row["status"])]
                for row, best in zip(shown, is_best, strict=True)
            ],
            "size": [15 if best else 8 for best in is_best],
            "opacity": 0.85,
            "line": {"width": [1 if is_out else 0 for is_out in is_beyond]},
            "symbol": [
                "star" if best else beyond if is_out else "circle"
                for best, is_out in zip(is_best, is_beyond, strict=True)
            ],
        },
        text=[
            f"trial {row['trial']}, {status_words(row['status'])}<br>{name}={value(row[name])}<br>"
            f"best {judged.name} {judged.words(row)}"
            for row in shown
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(axis)
    figure.update_layout(showlegend=False, font_size=12, margin={"r": 8, "t": 4, "b": 30})
    return figure


def front_plot(models: Sequence[FoundModel], front: Sequence[FoundModel], best: str) -> go.Figure:
    """NPMI of every model against its loss, coloured by TU; those of the front are ringed."""
    on_front = {model.trial for model in front}
    shown = [m for m in models if all(m.figures[name] is not None for name in FRONT)]
    loss, npmi, uniqueness = ([m.figures[name] or 0.0 for m in shown] for name in FRONT)
    figure = go.Figure()
    figure.add_scatter(
        x=loss,
        y=npmi,
        mode="markers",
        marker={
            "color": uniqueness,
            "colorscale": "Viridis",
            "cmin": 0,
            "cmax": 1,
            "colorbar": {"title": "TU"},
            "size": [14 if m.trial in on_front else 8 for m in shown],
            "symbol": ["star" if m.trial == best else "circle" for m in shown],
            "line": {
                "width": [2 if m.trial in on_front else 0 for m in shown],
                "color": "#808080",
            },
        },
        text=[
            f"trial {m.trial}, epoch {m.epoch}{', on the front' if m.trial in on_front else ''}"
            f"<br>loss {x:.4f}, NPMI {y:.3f}, TU {z:.2f}"
            for m, x, y, z in zip(shown, loss, npmi, uniqueness, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    _dress(figure, "validation:total_loss, nats a word", height=380)
    low, high = min(loss), sorted(loss)[int(0.9 * (len(loss) - 1))]
    room = 0.05 * max(high - low, 0.01)
    # One that diverged late would squash the others.
    figure.update_xaxes(range=[low - room, high + room])
    figure.update_yaxes(title="NPMI", gridcolor=_FAINT, zeroline=False)
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


def _figure(x: str, judged: Judged, height: int) -> go.Figure:
    figure = go.Figure()
    _dress(figure, x, height)
    figure.update_yaxes(title=judged.axis, range=judged.range, gridcolor=_FAINT, zeroline=False)
    return figure


def _dress(figure: go.Figure, x: str, height: int) -> None:
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
