"""How many topics? The answer as a curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from ntm_ray.report.judged import BEST_LOSS
from ntm_ray.report.plots import dress
from ntm_ray.tuning import Status

if TYPE_CHECKING:
    from ntm_ray.report.plots import Row
    from ntm_ray.tuning.topic_numbers import TopicNumbers

_FAINT = "rgba(128,128,128,0.3)"
_LINE, _BAND, _HELD = "#0072B2", "rgba(0,114,178,0.2)", "rgba(0,158,115,0.15)"


def topic_curve(numbers: TopicNumbers, trials: list[Row]) -> go.Figure:
    """The curve over the number of topics with its band, and the trials it was fitted to."""
    topics = [point.topics for point in numbers.curve]
    low, high = ([getattr(point, end) for point in numbers.curve] for end in ("low", "high"))
    counted = [
        row for row in trials if row["status"] == Status.FINISHED and row[BEST_LOSS] is not None
    ]
    losses = [*low, *high, *(row[BEST_LOSS] for row in counted)]
    room = 0.05 * (max(losses) - min(losses))
    figure = go.Figure()
    dress(figure, "num_topics", height=380)
    figure.update_yaxes(
        title="validation:total_loss, nats a word",
        range=(min(losses) - room, max(losses) + room),
        gridcolor=_FAINT,
        zeroline=False,
    )
    figure.add_scatter(
        x=topics + topics[::-1],
        y=high + low[::-1],
        fill="toself",
        fillcolor=_BAND,
        line={"width": 0},
        name="90 % of the posterior",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=topics,
        y=[point.loss for point in numbers.curve],
        mode="lines",
        name="fitted curve",
        line={"color": _LINE, "width": 3},
        hovertemplate="%{x} topics: %{y:.4f}<extra></extra>",
    )
    figure.add_scatter(
        x=[row["num_topics"] for row in counted],
        y=[row[BEST_LOSS] for row in counted],
        customdata=[row["trial"] for row in counted],
        mode="markers",
        name="trials, best loss",
        marker={"color": "#E69F00", "size": 7},
        hovertemplate="trial %{customdata}, %{x} topics: %{y:.4f}<extra></extra>",
    )
    if (held := numbers.num_topics) is not None:
        # Half a step to each side: an interval of one number has a width too.
        wide = {"x0": held.low - 0.5, "x1": held.high + 0.5}
        figure.add_vrect(**wide, fillcolor=_HELD, line_width=0, layer="below")
    ticks = [n for n in (2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)
             if topics[0] <= n <= topics[-1]]  # fmt: skip
    edge = 0.03 * math.log10(topics[-1] / topics[0])
    ends = [math.log10(topics[0]) - edge, math.log10(topics[-1]) + edge]
    figure.update_xaxes(type="log", tickvals=ticks, range=ends)
    return figure
