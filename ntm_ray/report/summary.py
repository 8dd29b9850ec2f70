"""What a person reads when a job or a training has ended."""

from __future__ import annotations

import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any, Protocol

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ntm_ray.model.measures import MEASURES
from ntm_ray.report.diagnosis import print_diagnosis
from ntm_ray.report.front import print_front
from ntm_ray.report.topic_numbers import print_topic_numbers
from ntm_ray.report.wording import count, duration, value
from ntm_ray.tuning.faults import faults_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from ntm_ray.model.evidence import Evidence
    from ntm_ray.model.objectives import Objective
    from ntm_ray.tuning import BestTrial, FoundModel, Status
    from ntm_ray.tuning.storage import Place
    from ntm_ray.tuning.topic_numbers import TopicNumbers

TOPIC_WORDS = 10


class Found(Protocol):
    """What is printed of a job's result: a `TuningResult`, or one that was fetched."""

    @property
    def best(self) -> BestTrial:
        """The best trial."""

    @property
    def objective(self) -> Objective:
        """What was searched for."""

    @property
    def values(self) -> dict[str, float | None]:
        """The objective of the best trial, as `best`, and of the yardstick `defaults`."""

    @property
    def front(self) -> list[FoundModel]:
        """The Pareto front."""

    @property
    def models_are_here(self) -> bool:
        """Whether the folder has models of other trials than the best."""

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
    evidence: Evidence,
    go_on: list[str] | None = None,
) -> None:
    """Print what a tuning job found.

    Args:
        console: Where to.
        result: What it found.
        tuned: The names of the hyperparameters that were searched.
        topics: The best model's topics, as words.
        evidence: What the doctor judges the best model by.
        go_on: The `ntm-ray` command that goes on with it if it was interrupted; None:
            `tune --resume` with its folder.
    """
    best = result.best
    console.print()
    if result.objective.uses_topics:
        print_objective(console, result)
    print_losses(
        console, f"Best trial {best.trial}, epoch {best.epoch}", best.metrics, result.baselines
    )
    console.print()
    console.print(Text("Best hyperparameters", style="bold"))
    table = _columns()
    # Those of our own that have their defaults are not among a model's hyperparameters.
    all_values = _our_defaults() | best.hyperparameters
    for name in tuned:
        table.add_row(name, value(all_values[name]))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    print_topics(console, topics)
    print_topic_numbers(console, result.topic_numbers)
    print_diagnosis(console, evidence)
    print_front(console, result.front, best.trial)
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
        others = (model for model in result.front if model.trial != best.trial)
        if result.models_are_here and any(model.is_kept for model in others):
            console.print("or another model of those above, as by NPMI:")
            print_command(console, ["best", result.place.uri, "--by", "npmi"])


def print_objective(console: Console, result: Found) -> None:
    """Print what was searched for and found, where that is not the loss."""
    objective, values = result.objective, result.values
    console.print(Text(f"{objective.name}: {objective.direction} {objective.formula}", "bold"))
    table = _columns()
    table.add_row(f"best trial, {result.best.trial}", objective.words(values["best"]))
    table.add_row("SageMaker's defaults", objective.words(values["defaults"]))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    console.print()


def print_model(
    console: Console,
    title: str,
    metrics: Mapping[str, float],
    objective: tuple[str, str],
    topics: list[list[str]],
    evidence: Evidence,
    folder: str,
    *,
    is_written: bool,
) -> None:
    """Print a model of a job: what it is worth, its topics, and where it is.

    Args:
        console: Where to.
        title: Which model it is.
        metrics: Its losses and measures.
        objective: The name of what it was chosen by, and its value in words.
        topics: Its topics, as words.
        evidence: What the doctor judges it by.
        folder: Its model folder.
        is_written: Whether that has just been written.
    """
    console.print(Text(title, style="bold"))
    table = _columns()
    if objective[0] not in metrics:
        table.add_row(*objective)
    losses = ("validation:total_loss", "validation:recons_loss", "validation:kld")
    for name in (*losses, *MEASURES):
        if name in metrics:
            table.add_row(name, f"{metrics[name]:.4g}")
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    print_topics(console, topics)
    print_diagnosis(console, evidence)
    console.print()
    console.print(f"{'Written to' if is_written else 'Model folder:'} {folder}", soft_wrap=True)


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
    evidence: Evidence,
) -> None:
    """Print what a single training came to."""
    console.print()
    if "validation:total_loss" in metrics:
        baselines = {} if unigram is None else {"unigram": unigram}
        print_losses(console, f"Best epoch {metrics['epoch']:.0f}", metrics, baselines)
    print_topics(console, topics)
    print_diagnosis(console, evidence)
    console.print()
    console.print(f"Written to {folder}", soft_wrap=True)
    console.print("Next, more words of each topic:")
    print_command(console, ["topics", str(folder), "--words", "20"])


def _our_defaults() -> dict[str, Any]:
    """The defaults of hyperparameters of our own."""
    # Only here: the command line is there before pydantic is.
    from ntm_ray.model.hyperparameters import EXTENSIONS

    return {field.name: field.default for field in EXTENSIONS}


def _columns() -> Table:
    return Table.grid(padding=(0, 2))
