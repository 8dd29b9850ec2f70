"""Make the table and the plot of `compare`'s results.

    python -m benchmarks.search_quality.report [--html FILE] > TABLE

Prints Markdown, and writes `search_quality.svg` beside `benchmarks/search_quality.md`; with
`--html` also an interactive plot.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from plotly.subplots import make_subplots

from benchmarks.search_quality.compare import RESULTS, TRIALS
from benchmarks.search_quality.drawing import write_svg

SHARES_IN_TABLE = (0.05, 0.1, 0.2, 0.5, 1.0)
BESIDE = Path(__file__).parent.parent
OURS, RAYS = "ntm-ray", "Ray Tune: HyperOptSearch, ASHAScheduler"
# Okabe and Ito's, which colour-blind people tell apart.
COLOURS = ("#999999", "#E69F00", "#56B4E9", "#CC79A7", "#0072B2")


def quartiles(runs: list[list[float | None]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Lower quartile, median and upper quartile over seeds (3, shares), nats a word."""
    losses = np.array([[np.inf if x is None else x for x in run] for run in runs])
    with np.errstate(invalid="ignore"):  # between an infinity and a number lies none
        found = np.asarray(np.quantile(losses, [0.25, 0.5, 0.75], axis=0))
    return np.asarray(np.nan_to_num(found, nan=np.inf, posinf=np.inf))


def main() -> None:
    """Print the table and write the plots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--html", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    shares = results.pop("shares")
    corpora = {
        corpus: {name: quartiles(runs) for name, runs in found.items() if name != "epochs"}
        for corpus, found in results.items()
    }
    columns = [min(range(len(shares)), key=lambda i: abs(shares[i] - s)) for s in SHARES_IN_TABLE]
    for corpus, found in corpora.items():
        epochs = results[corpus]["epochs"]
        print(f"\n{corpus}, {epochs} epochs a trial, budget {TRIALS * epochs} epochs:\n")
        print("| search | " + " | ".join(f"{share:.0%}" for share in SHARES_IN_TABLE) + " |")
        print("|---" * (len(columns) + 1) + "|")
        for name, (low, middle, high) in found.items():
            cells = (f"{middle[i]:.3f} ({low[i]:.3f} to {high[i]:.3f})" for i in columns)
            print(f"| {name} | " + " | ".join(cells) + " |")
        ours, rays = found[OURS][1], found[RAYS][1]
        behind = max(float(np.max((ours - rays)[np.isfinite(rays)])), 0.0)
        print(f"\nBehind Ray Tune, at any of {len(shares)} shares: by {behind:.4f} at most.")
    write_svg(BESIDE / "search_quality.svg", shares, corpora, COLOURS)

    if given.html:
        write_html(given.html, shares, corpora)


def write_html(
    file: Path,
    shares: list[float],
    corpora: dict[str, dict[str, np.ndarray[Any, np.dtype[np.float64]]]],
) -> None:
    """Write the plot for a browser."""
    figure = make_subplots(rows=1, cols=len(corpora), subplot_titles=list(corpora))
    for column, found in enumerate(corpora.values(), start=1):
        for colour, (name, (low, middle, high)) in zip(COLOURS, found.items(), strict=False):
            spent = [100 * share for share in shares]
            band = {"fill": "toself", "opacity": 0.15, "line_width": 0, "fillcolor": colour}
            figure.add_scatter(
                x=spent + spent[::-1],
                y=[*high, *low[::-1]],
                showlegend=False,
                hoverinfo="skip",
                **band,
                row=1,
                col=column,
            )
            figure.add_scatter(
                x=spent, y=middle, name=name, line_color=colour, showlegend=column == 1,
                legendgroup=name, row=1, col=column,
            )  # fmt: skip
    figure.update_xaxes(type="log", title="epochs spent, % of the budget")
    figure.update_yaxes(title="best validation:total_loss, nats a word", col=1)
    figure.update_layout(template="plotly_white", legend={"orientation": "h", "y": -0.25})
    figure.write_html(file, include_plotlyjs="cdn")


if __name__ == "__main__":
    main()
