"""The Pareto front of a job, as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ntm_ray.tuning.front import FRONT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ntm_ray.tuning import FoundModel

_MOST = 8
FRONT_TITLE = "No model is better in loss, NPMI and topic uniqueness at once than these"


def front_rows(front: Sequence[FoundModel], best: str) -> list[list[str]]:
    """A row of words a model: trial, loss, NPMI, TU, and where the model is."""
    rows = []
    for model in front:
        loss, npmi, uniqueness = (model.figures[name] or 0.0 for name in FRONT)
        where = f"models/{model.trial}/{model.epoch}" if model.is_kept else "not kept"
        where = "best" if model.trial == best else where
        rows.append([model.trial, f"{loss:.4f}", f"{npmi:.3f}", f"{uniqueness:.2f}", where])
    return rows


def print_front(console: Console, front: Sequence[FoundModel], best: str) -> None:
    """Print the models of the front, the extreme ones in any case; nothing of a single one."""
    if len(front) < 2:
        return
    shown = _chosen(front)
    console.print()
    console.print(Text(FRONT_TITLE, style="bold"))
    table = Table.grid(padding=(0, 2))
    for name in ("trial", "loss", "NPMI", "TU", "model folder"):
        table.add_column(name, justify="right" if name in {"loss", "NPMI", "TU"} else "left")
    table.add_row("trial", "loss", "NPMI", "TU", "model folder", style="dim")
    for row in front_rows(shown, best):
        table.add_row(*row)
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    if len(shown) < len(front):
        console.print(f"  and {len(front) - len(shown)} more in report.html and result.json")


def _chosen(front: Sequence[FoundModel]) -> list[FoundModel]:
    """As many as are looked at: the best by each of the three, and others by their loss."""
    extremes = {front[0].trial}
    for name in FRONT[1:]:
        extremes.add(max(front, key=lambda model: model.figures[name] or 0.0).trial)
    room = _MOST - len(extremes)
    others = [model.trial for model in front if model.trial not in extremes]
    shown = extremes | set(others[:room])
    return [model for model in front if model.trial in shown]
