"""The HTML report of a tuning job: one file with everything in it, to look at and to send on."""

from __future__ import annotations

from html import escape
from string import Template
from typing import TYPE_CHECKING

from plotly.offline import get_plotlyjs

from ntm_ray.corpus.atomic import replacing
from ntm_ray.report.front import FRONT_TITLE, front_rows
from ntm_ray.report.judged import YARDSTICKS, Judged
from ntm_ray.report.plots import (
    PANEL,
    best_so_far,
    front_plot,
    is_active,
    learning_curves,
    panel,
    plot_div,
    status_words,
)
from ntm_ray.report.topic_curve import topic_curve
from ntm_ray.report.topic_numbers import TOPIC_NUMBERS_HEAD, topic_number_cells
from ntm_ray.report.wording import count, duration, value
from ntm_ray.tuning.faults import faults_in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ntm_ray.report.plots import Row
    from ntm_ray.tuning import TuningJob, TuningResult
    from ntm_ray.tuning.space import Parameter


# Of a trial's measures, those that tell most, and what the table calls them.
MEASURE_HEADS = {
    "npmi": "NPMI",
    "topic_uniqueness": "TU",
    "kl_per_document": "KL a document",
    "live_topics": "live topics",
}


def write_html_report(
    result: TuningResult, topics: list[list[str]], path: Path, warnings: Sequence[str] = ()
) -> None:
    """Write a page about a tuning job that needs no other file and no network.

    Args:
        result: What the job found.
        topics: The best model's topics, as words.
        path: The file to write. It is replaced at once, by the whole page: about 5 MB, nearly
            all of it plotly.js.
        warnings: What must be said of the best model, a sentence each.

    Raises:
        OSError: If the file cannot be written.
    """
    page = _page(result, result.job, topics, warnings)
    with replacing(path) as file:
        file.write(page.encode())


def _page(
    result: TuningResult, job: TuningJob, topics: list[list[str]], warnings: Sequence[str]
) -> str:
    trials = result.trials().to_pylist()
    searched: dict[str, list[Parameter]] = {}
    for parameter in job.free_space.parameters:
        searched.setdefault(parameter.name, []).append(parameter)
    judged = Judged.of(result)
    panels = [
        plot_div(panel(result, trials, parameters, judged), PANEL + name, f"<h3>{name}</h3>")
        for name, parameters in searched.items()
    ]
    if (faults := faults_in_words(result.faults)) is not None:
        warnings = [f"What went wrong on the way, and was made good: {faults}.", *warnings]
    if result.interrupted:
        warnings = ["The job was stopped before all of its trials were carried out.", *warnings]
    return Template(_PAGE).substitute(
        plotly=get_plotlyjs(),
        name=escape(result.place.name),
        job=escape(_job_line(result, job)),
        warnings="".join(f'<p class="warning">{escape(warning)}</p>' for warning in warnings),
        headline=_headline(result, judged),
        topic_numbers=_topic_numbers(result, trials),
        judged=escape(_judged_line(judged)),
        column=escape(judged.objective.name),
        what=escape(judged.name),
        curves=plot_div(learning_curves(result, trials, judged), "learning-curves"),
        progress=plot_div(best_so_far(result, trials, judged), "best-so-far"),
        front=_front(result),
        front_title=FRONT_TITLE,
        panels="".join(panels) or "<p>No hyperparameter was searched.</p>",
        trials=_trials_table(result, judged, trials, searched),
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
        f"{number} {status_words(status)}" for status, number in result.outcomes.items() if number
    )
    return (
        f"{count(sum(result.outcomes.values()), 'trial')}: {outcomes}; "
        f"{count(result.epochs_spent, 'epoch')} spent in {duration(result.wall_seconds)}. "
        f"Search {job.search} over {job.free_space.name}, scheduler {job.scheduler}, "
        f"{result.best.hyperparameters['num_topics']} topics, at most "
        f"{count(job.epochs, 'epoch')} a trial, seed {job.seed}."
    )


def _judged_line(judged: Judged) -> str:
    objective = judged.objective
    if not objective.uses_topics:
        return "Validation loss, nats a word; less is better"
    more = "more" if objective.is_maximized else "less"
    return f"{objective.name}, {objective.formula}; {more} is better"


def _headline(result: TuningResult, judged: Judged) -> str:
    words, score = judged.objective.words, judged.objective.score
    about = f"trial {result.best.trial}, epoch {result.best.epoch}"
    cards = [_card("best trial", words(judged.best), about, "best")]
    for name, label in YARDSTICKS.items():
        if name not in judged.yardsticks:
            continue
        yardstick = judged.yardsticks[name]
        if yardstick is None:
            cards.append(_card(label, "-", "did not come to an end"))
            continue
        better = "better" if score(judged.best) < score(yardstick) else "WORSE"
        difference = f"the best trial is {words(abs(yardstick - judged.best))} {better}"
        cards.append(_card(label, words(yardstick), difference))
    return "".join(cards)


def _front(result: TuningResult) -> str:
    models, front = result.models.models, result.front
    if not front:
        return "<p>No trial has recorded its measures.</p>"
    best = result.best.trial
    marked = next((number for number, one in enumerate(front) if one.trial == best), None)
    head = ["trial", "loss", "NPMI", "TU", "model folder"]
    return plot_div(front_plot(models, front, best), "front") + _table(
        head, front_rows(front, best), best=marked
    )


def _card(label: str, figure: str, note: str, kind: str = "") -> str:
    return (
        f'<div class="card {kind}"><span>{escape(label)}</span><strong>{escape(figure)}</strong>'
        f"<span>{escape(note)}</span></div>"
    )


def _topic_numbers(result: TuningResult, trials: list[Row]) -> str:
    if (numbers := result.topic_numbers) is None:
        return ""
    plot = plot_div(topic_curve(numbers, trials), "topic-numbers") if numbers.curve else ""
    table = _table(TOPIC_NUMBERS_HEAD, (topic_number_cells(row) for row in numbers.numbers))
    return f"<h2>How many topics?</h2><p>{escape(numbers.answer)}</p>{plot}{table}"


def _trials_table(
    result: TuningResult,
    judged: Judged,
    trials: list[Row],
    searched: dict[str, list[Parameter]],
) -> str:
    rows: list[list[str]] = []
    best = None
    for row in sorted(trials, key=judged.score):
        if row["trial"] == result.best.trial:
            best = len(rows)
        # What a trial had no use for, it did not draw: its default would only mislead.
        drawn = [
            value(row[name]) if is_active(parameters, row) else "-"
            for name, parameters in searched.items()
        ]
        status = status_words(row["status"])
        cells = [
            row["trial"],
            status,
            judged.words(row),
            *(_measure(row[name]) for name in MEASURE_HEADS),
            str(row["epochs"]),
            f"{row['seconds']:.1f}",
            *drawn,
        ]
        rows.append(cells)
    heads = MEASURE_HEADS.values()
    head = ["trial", "status", f"best {judged.name}", *heads, "epochs", "seconds", *searched]
    return _table(head, rows, "sortable", best)


def _measure(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3g}"


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
<h2>$judged</h2>
<div class="cards">$headline</div>
$topic_numbers
<h2>Learning curves</h2>
<p class="soft">$column of every trial. What lies far beyond the baselines is cut off;
&ldquo;Autoscale&rdquo; beside the plot shows all.</p>
$curves
<h2>Best $what so far</h2>
$progress
<h2>Where the good trials lie</h2>
<p class="soft">Best $what of each trial, by each hyperparameter that was searched. The star is the
best trial; colours are those of the learning curves. A triangle lies beyond the plot.</p>
<div class="panels">$panels</div>
<h2>Loss, NPMI and topic uniqueness</h2>
<p class="soft">$front_title, which are ringed.
<code>ntm-ray best</code> hands each of them over.</p>
$front
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
