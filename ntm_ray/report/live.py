"""Live progress of a tuning job: a display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ntm_ray.model.objectives import TOTAL_LOSS
from ntm_ray.report.wording import clock, configuration, count
from ntm_ray.tuning import Status
from ntm_ray.tuning.space import Categorical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning import Progress, TuningJob
    from ntm_ray.tuning.storage import Place

# Without a terminal, a line this often at most: logs are read afterwards.
PLAIN_SECONDS = 5.0
_STYLES = {
    Status.FINISHED: "green",
    Status.STOPPED_EARLY: "cyan",
    Status.DIVERGED: "yellow",
    Status.FAILED: "red",
}
_WORDS = {status: str(status).replace("_", " ") for status in _STYLES}

_COMPILING = "the first training on a machine compiles, once"
_COMPILING_AFTER = 12.0
"""Seconds after which a first epoch that has not come seems to wait for the compiler."""


class LiveProgress:
    """Shows people how a job comes along; hand it to `TuningJob.run`.

    Args:
        console: Where to show it; standard output unless given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, markup=False, emoji=False)
        self._live: Live | None = None
        self._progress: Progress | None = None
        self._stopping = False
        self._last_line = 0.0
        self._same_for_all: frozenset[str] = frozenset()

    def started(self, job: TuningJob, corpus: Corpus, folder: Place) -> None:
        """Say what is tuned on what, and begin the display."""
        out = self._console.print
        out(describe_corpus(corpus), soft_wrap=not self._console.is_terminal)
        epochs = count(job.epochs, "epoch")
        topics = job.hyperparameters.get("num_topics", "a number of")
        is_other = job.objective != TOTAL_LOSS.name
        looks_for = f"; objective {job.objective}" if is_other else ""
        out(
            f"Tuning {topics} topics: {count(job.trials, 'trial')} of "
            f"at most {epochs}, {job.slots} at a time; search {job.search} over "
            f"{job.search_space.name}, scheduler {job.scheduler}, seed {job.seed}{looks_for}",
            soft_wrap=not self._console.is_terminal,
        )
        out(f"Job folder: {folder}", soft_wrap=True)
        self._same_for_all = _same_for_all(job)
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                get_renderable=self._display,
                console=self._console,
                refresh_per_second=4,
                # What others print would otherwise be swallowed by the display.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        else:
            out("Starting Ray ...")

    def update(self, progress: Progress) -> None:
        """Show how far the job has come."""
        self._progress = progress
        if self._live is None and time.monotonic() - self._last_line >= PLAIN_SECONDS:
            self._print_line(progress)

    def stopping(self) -> None:
        """Say that Ctrl-C was heard."""
        self._stopping = True
        if self._live is None:
            self._console.print("Stopping; what is finished is kept ...")

    def ended(self) -> None:
        """End the display, leaving its last state on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self._progress is not None:
            self._print_line(self._progress)

    def _print_line(self, progress: Progress) -> None:
        self._last_line = time.monotonic()
        counts = ", ".join(
            f"{number} {_WORDS[status]}" for status, number in progress.outcomes.items()
        )
        line = (
            f"[{_time(progress)}] {progress.ended}/{progress.trials} trials: "
            f"{progress.running} running{', ' + counts if counts else ''}; "
            f"{progress.epochs_spent:,} epochs spent, {progress.epochs_saved:,} saved"
        )
        if progress.note is not None:
            line += f"; {progress.note}"
        if _seems_to_compile(progress):
            line += f"; {_COMPILING}"
        if progress.best_loss is not None and progress.best_configuration is not None:
            how = self._how(progress.best_configuration)
            line += f"; best {_best(progress)}, trial {progress.best_trial}: {how}"
        self._console.print(line, markup=False, soft_wrap=True)

    def _how(self, values: Mapping[str, Any]) -> str:
        """What tells a configuration from the others."""
        return configuration({n: v for n, v in values.items() if n not in self._same_for_all})

    def _display(self) -> RenderableType:
        progress = self._progress
        if progress is None or not (progress.running or progress.ended):
            return Text((progress and progress.note) or "Starting Ray ...", style="dim")
        head = Table.grid(padding=(0, 1))
        head.add_row(
            ProgressBar(total=progress.trials, completed=progress.ended, width=28),
            f"{progress.ended}/{progress.trials} trials",
            _time(progress),
        )
        counts = Text.assemble(
            ("running", "bold"),
            f" {progress.running}  ",
            *[
                part
                for status, style in _STYLES.items()
                for part in ((_WORDS[status], style), f" {progress.outcomes.get(status, 0)}  ")
            ],
        )
        epochs = f"epochs {progress.epochs_spent:,} spent, {progress.epochs_saved:,} saved"
        rows: list[RenderableType] = [head, counts, Text(epochs)]
        if progress.note is not None:
            rows.append(Text(progress.note, style="yellow"))
        if _seems_to_compile(progress):
            rows.append(Text(_COMPILING, style="dim"))
        if progress.best_loss is not None and progress.best_configuration is not None:
            rows.append(
                Text.assemble(
                    "best ",
                    (_best(progress), "bold"),
                    "" if progress.objective.uses_topics else " nats a word",
                    f", trial {progress.best_trial}: ",
                    (self._how(progress.best_configuration), "dim"),
                )
            )
        if self._stopping:
            rows.append(Text("Stopping; what is finished is kept ...", style="yellow"))
        return Group(*rows)


def describe_corpus(corpus: Corpus) -> str:
    """One line on a corpus: documents, words, and what was left out."""
    documents, left_out = corpus.documents, sum(corpus.left_out.values())
    line = (
        f"Corpus {corpus.name}: {documents['train']:,} training and "
        f"{documents['validation']:,} validation documents over {corpus.feature_dim:,} words"
    )
    if left_out:
        line += f"; {count(left_out, 'document')} without a known word left out"
    return line


def _seems_to_compile(progress: Progress) -> bool:
    nothing_yet = not progress.epochs_spent and progress.best_loss is None
    return bool(progress.running) and nothing_yet and progress.seconds > _COMPILING_AFTER


def _best(progress: Progress) -> str:
    objective = progress.objective
    if objective.uses_topics:
        return f"{objective.name} {objective.words(progress.best_value)}"
    return objective.words(progress.best_loss)


def _time(progress: Progress) -> str:
    if progress.seconds_left is None:
        return clock(progress.seconds)
    return f"{clock(progress.seconds)}, about {clock(progress.seconds_left)} left"


def _same_for_all(job: TuningJob) -> frozenset[str]:
    """The hyperparameters to which the search space leaves a single value."""
    parameters = job.free_space.parameters
    varied = {
        p.name for p in parameters if p.when or not isinstance(p, Categorical) or len(p.values) > 1
    }
    return frozenset(p.name for p in parameters) - varied
