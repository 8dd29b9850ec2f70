"""How many topics? The answer as a sentence and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from ntm_ray.tuning.topic_numbers import TopicNumber, TopicNumbers

TOPIC_NUMBERS_HEAD = ("num_topics", "trials", "used", "loss", "90 % within", "probability")
_BAR = 12


def print_topic_numbers(console: Console, numbers: TopicNumbers | None) -> None:
    """Print the answer and the table it rests on; nothing where it was not asked."""
    if numbers is None:
        return
    console.print()
    console.print(Text("How many topics?", style="bold"))
    console.print(Padding(Text(numbers.answer), (0, 0, 0, 2)))
    table = Table.grid(padding=(0, 2))
    table.add_row(*TOPIC_NUMBERS_HEAD)
    for row in numbers.numbers:
        bar = "█" * round(_BAR * (row.probability or 0))
        table.add_row(*topic_number_cells(row), Text(bar, style="green"))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def topic_number_cells(row: TopicNumber) -> list[str]:
    """A row of the table; `2 of 3` trials where one did not train to its end."""
    trials = str(row.trials) if row.counted == row.trials else f"{row.counted} of {row.trials}"
    used = "-" if row.live_topics is None else f"{row.live_topics:g}"
    if row.loss is None or row.probability is None:
        return [row.label, trials, used, "-", "-", "-"]
    within = f"{row.low:.4f} to {row.high:.4f}"
    some = row.probability
    share = "0" if some == 0 else f"{some:.0%}".replace("%", " %") if some >= 0.01 else "< 1 %"
    return [row.label, trials, used, f"{row.loss:.4f}", within, share]
