"""What a person reads when a job or a training has ended."""

from __future__ import annotations

import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Protocol

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ntm_ray.report.topic_numbers import print_topic_numbers
from ntm_ray.report.warnings import collapse_warnings
from ntm_ray.report.wording import count, duration, value
from ntm_ray.tuning.faults import faults_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from ntm_ray.tuning import BestTrial, Status
    from ntm_ray.tuning.storage import Place
    from ntm_ray.tuning.topic_numbers import TopicNumbers

TOPIC_WORDS = 10


class Found(Protocol):
    """What is printed of a job's result: a `TuningResult`, or one that was fetched."""

    @property
    def best(self) -> BestTrial:
        """The best trial."""

    @property
    def baselines(self) -> dict[str, float | None]:
        """The yardsticks."""

    @property
    def outcomes(self) -> dict[Status, int]:
        """How many trials ended in each way."""

    @property
    def epochs_spent(self) -> int:
        """Epochs trained by all trials."""

    @property
    def wall_seconds(self) -> float:
        """How long the job took."""

    @property
    def place(self) -> Place:
        """Where the folder is that holds it."""

    @property
    def faults(self) -> dict[str, int]:
        """How often what went wrong on the way, and was made good."""

    @property
    def topic_numbers(self) -> TopicNumbers | None:
        """How many topics, where that was asked."""

    @property
    def interrupted(self) -> bool:
        """Whether the job was stopped before its end."""


def print_result(
    console: Console,
    result: Found,
    tuned: Sequence[str],
    topics: list[list[str]],
    go_on: list[str] | None = None,
) -> None:
    """Print what a tuning job found.

    Args:
        console: Where to.
        result: What it found.
        tuned: The names of the hyperparameters that were searched.
        topics: The best model's topics, as words.
        go_on: The `ntm-ray` command that goes on with it if it was interrupted; None:
            `tune --resume` with its folder.
    """
    best = result.best
    console.print()
    print_losses(
        console, f"Best trial {best.trial}, epoch {best.epoch}", best.metrics, result.baselines
    )
    console.print()
    console.print(Text("Best hyperparameters", style="bold"))
    table = _columns()
    for name in tuned:
        table.add_row(name, value(best.hyperparameters[name]))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    print_topics(console, topics)
    print_topic_numbers(console, result.topic_numbers)
    print_warnings(console, collapse_warnings(best.metrics))
    console.print()
    budget = sum(result.outcomes.values())
    outcomes = ", ".join(
        f"{number} {str(status).replace('_', ' ')}" for status, number in result.outcomes.items()
    )
    console.print(
        f"{count(budget, 'trial')}: {outcomes}; {count(result.epochs_spent, 'epoch')} spent "
        f"in {duration(result.wall_seconds)}"
    )
    if (faults := faults_in_words(result.faults)) is not None:
        console.print(f"What went wrong on the way, and was made good: {faults}")
    written = "best/ (the model), trials.parquet, epochs.parquet, result.json, report.html"
    console.print(f"Written to {result.place}:", soft_wrap=True)
    console.print(f"  {written}")
    if result.interrupted:
        console.print(Text("Stopped before all trials were carried out. Go on with:", "yellow"))
        print_command(console, go_on or ["tune", "--resume", result.place.uri])
    else:
        console.print("Next, more words of each topic:")
        print_command(console, ["topics", best.place.uri, "--words", "20"])


def print_losses(
    console: Console,
    title: str,
    metrics: Mapping[str, float],
    baselines: Mapping[str, float | None],
) -> None:
    """Print a model's validation loss beside its yardsticks on the same documents."""
    loss = metrics["validation:total_loss"]
    console.print(Text(f"{title}: validation loss, nats a word", style="bold"))
    table = _columns()
    recons, kl = metrics["validation:recons_loss"], metrics["validation:kld"]
    table.add_row("this model", f"{loss:.4f}", f"reconstruction {recons:.4f} + KL {kl:.4f}")
    for name, label in (("defaults", "SageMaker's defaults"), ("unigram", "unigram model")):
        if name not in baselines:
            continue
        yardstick = baselines[name]
        if yardstick is None:
            table.add_row(label, "-", "did not come to an end")
        else:
            better = "better" if loss < yardstick else "WORSE"
            table.add_row(label, f"{yardstick:.4f}", f"{abs(yardstick - loss):.4f} {better}")
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def print_topics(console: Console, topics: list[list[str]]) -> None:
    """Print each topic's most probable words, one topic a line where the width allows."""
    console.print()
    console.print(Text("Topics, most probable words first", style="bold"))
    table = _columns()
    for number, words in enumerate(topics):
        table.add_row(str(number), Text(" ".join(words)))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def print_warnings(console: Console, warnings: list[str]) -> None:
    """Print warnings, if there are any."""
    for warning in warnings:
        console.print(Text(f"Warning: {warning}", style="yellow"))


def print_command(console: Console, arguments: list[str]) -> None:
    """Print an `ntm-ray` command so that it can be copied: on one line, however long."""
    # `make tune` runs it from an environment that is not on the path.
    program = "ntm-ray" if shutil.which("ntm-ray") else sys.argv[0]
    console.print(Text(f"  {shlex.join([program, *arguments])}"), soft_wrap=True)


def print_training(
    console: Console,
    folder: Path,
    metrics: Mapping[str, float],
    unigram: float | None,
    topics: list[list[str]],
) -> None:
    """Print what a single training came to."""
    console.print()
    if "validation:total_loss" in metrics:
        baselines = {} if unigram is None else {"unigram": unigram}
        print_losses(console, f"Best epoch {metrics['epoch']:.0f}", metrics, baselines)
    print_topics(console, topics)
    print_warnings(console, collapse_warnings(metrics))
    console.print()
    console.print(f"Written to {folder}", soft_wrap=True)
    console.print("Next, more words of each topic:")
    print_command(console, ["topics", str(folder), "--words", "20"])


def _columns() -> Table:
    return Table.grid(padding=(0, 2))
