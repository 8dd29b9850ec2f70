"""`ntm-ray tune`: carry out a tuning job, or go on with one."""

from __future__ import annotations

import json as json_format
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ntm_ray.cli.options import (
    Device,
    Json,
    MaxDocumentFraction,
    MaxWords,
    Precision,
    Seed,
    Settings,
    Source,
    TopicRange,
    ValidationFraction,
    console_for,
    given,
    parse_settings,
    parse_topic_range,
)
from ntm_ray.errors import JobError, StorageError

if TYPE_CHECKING:
    from rich.console import Console

    from ntm_ray.tuning import TuningJob, TuningResult

INTERRUPTED = 130


def tune_command(
    source: Source = None,
    num_topics: TopicRange = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="Search space: a name (ntm-ray list spaces) or a .yaml file. Default: focused.",
            show_default=False,
        ),
    ] = None,
    first_configurations: Annotated[
        bool | None,
        typer.Option(
            help="Try configurations known to do well first, where the space has such.",
            show_default=False,
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="What is searched for (ntm-ray list objectives). Default: what the search "
            "space is for (coherent: balanced), or validation:total_loss.",
            show_default=False,
        ),
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Search algorithm. Default: tpe.", show_default=False)
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Scheduler. Default: asha.", show_default=False)
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Configurations to try. Default: 40.", show_default=False)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Most epochs a trial trains. Default: 81.", show_default=False),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(
            help="Trials at a time on this machine. Default: one a core, at most 8.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Run on a Ray cluster that is there: auto on one of its machines, or HOST:PORT "
            "of its head. Default: a private Ray on this machine.",
            show_default=False,
        ),
    ] = None,
    max_concurrent: Annotated[
        int | None,
        typer.Option(
            help="Most trials at a time, on a cluster too. Default: what it has room for.",
            show_default=False,
        ),
    ] = None,
    cpus_per_trial: Annotated[
        float | None,
        typer.Option(help="CPUs a trial, and so its threads. Default: 1.", show_default=False),
    ] = None,
    gpus_per_trial: Annotated[
        str | None,
        typer.Option(
            help="Share of a GPU a trial, 0 to 1, or auto: by memory. Default: auto.",
            show_default=False,
        ),
    ] = None,
    accelerator_type: Annotated[
        str | None,
        typer.Option(help="The kind of GPU trials need, as in A100.", show_default=False),
    ] = None,
    keep_models_mb: Annotated[
        float | None,
        typer.Option(
            help="Disk for the best models of all trials, MB; 0: the best trial's only. "
            "Default: 1024.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = None,
    storage: Annotated[
        str | None,  # a Path would make one slash of the two in a URI
        typer.Option(help="Where job folders are made. Default: runs.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the job folder. Default: corpus and time.", show_default=False),
    ] = None,
    settings: Settings = None,
    device: Device = None,
    precision: Precision = None,
    max_words: MaxWords = None,
    max_document_fraction: MaxDocumentFraction = None,
    validation_fraction: ValidationFraction = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Go on with the job of this folder.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Find the best model of a corpus: try configurations, stop the hopeless ones early.

    SOURCE may also be a job file, job.yaml; options given beside it replace what it says.
    """
    fields = given(
        search_space=space,
        first_configurations=first_configurations,
        objective=objective,
        search=search,
        scheduler=scheduler,
        trials=trials,
        slots=slots,
        max_concurrent=max_concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        accelerator_type=accelerator_type,
        keep_models_mb=keep_models_mb,
        seed=seed,
        storage=storage,
        name=name,
        device=device,
        precision=precision,
    )
    reading = given(
        max_words=max_words,
        max_document_fraction=max_document_fraction,
        validation_fraction=validation_fraction,
    )
    fixed = given(num_topics=num_topics, epochs=epochs) | parse_settings(settings)
    console = console_for(json=json)
    if resume is not None:
        if source or fields or reading or fixed:
            raise JobError("--resume goes on with a job as it is; give it the folder alone")
        result, job = _resume(resume, console, address)
    else:
        result, job = _run(make_job(source, fields, reading, fixed), console, address)
    _hand_over(result, job, console, json=json)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def make_job(
    source: str | None,
    fields: dict[str, Any],
    reading: dict[str, Any],
    fixed: dict[str, Any],
) -> TuningJob:
    """The job of a source or a job file, with what the options say in place of it."""
    from ntm_ray.tuning import SearchSpace, TuningJob

    job = None
    if source is not None and Path(source).suffix in {".yaml", ".yml"}:
        job = TuningJob.read(source)
    if (searched := parse_topic_range(fixed.get("num_topics"))) is not None:
        fixed = {name: value for name, value in fixed.items() if name != "num_topics"}
        named = fields.get("search_space") or (job.search_space if job else "how_many")
        space = named if isinstance(named, SearchSpace) else SearchSpace.read(named)
        fields = fields | {"search_space": space.with_topics(*searched)}
    if job is None:
        return TuningJob(
            corpus=source or "docstrings", reading=reading, hyperparameters=fixed, **fields
        )
    hyperparameters = dict(job.hyperparameters)
    if hyperparameters["num_patience_epochs"] > hyperparameters["epochs"]:
        del hyperparameters["num_patience_epochs"]  # off, whatever --epochs makes of `epochs`
    said = {name: getattr(job, name) for name in TuningJob.model_fields}
    if searched is not None:
        hyperparameters.pop("num_topics", None)
    said["hyperparameters"] = hyperparameters | fixed
    said["reading"] = job.reading.model_dump() | reading
    return TuningJob(**(said | fields))


def _run(job: TuningJob, console: Console, address: str | None) -> tuple[TuningResult, TuningJob]:
    from ntm_ray.report import LiveProgress

    _say_where(console, address)
    console.print(f"Reading {job.corpus} ...", soft_wrap=True)
    return job.run(LiveProgress(console), address=address), job


def _resume(folder: str, console: Console, address: str | None) -> tuple[TuningResult, TuningJob]:
    from ntm_ray.report import LiveProgress
    from ntm_ray.tuning import TuningJob

    _say_where(console, address)
    console.print(f"Going on with {folder} ...", soft_wrap=True)
    result = TuningJob.resume(folder, LiveProgress(console), address=address)
    return result, result.job


def _say_where(console: Console, address: str | None) -> None:
    """Say so where somebody may think that the job runs on a cluster, and it does not."""
    named = os.environ.get("RAY_ADDRESS")
    if named and address is None:
        console.print(
            f"RAY_ADDRESS is {named}, and left alone: this job has a private Ray on this machine; "
            "--address auto would use that cluster",
            soft_wrap=True,
        )


def _hand_over(result: TuningResult, job: TuningJob, console: Console, *, json: bool) -> None:
    from ntm_ray.report import print_result
    from ntm_ray.report.diagnosis import for_json, sentences
    from ntm_ray.report.html import write_html_report
    from ntm_ray.report.summary import TOPIC_WORDS, print_warnings
    from ntm_ray.tuning.diagnosis import evidence_at

    topics = result.best.model().topics(TOPIC_WORDS)
    evidence = evidence_at(result.place)
    if json:
        typer.echo(json_format.dumps(result.to_json_dict() | for_json(evidence)))
    else:
        best = result.best.hyperparameters
        tuned = [p.name for p in job.free_space.parameters if p.is_active(best)]
        print_result(console, result, tuned, topics, evidence)
    try:
        with tempfile.TemporaryDirectory() as beside:
            page = Path(beside, "report.html")
            write_html_report(result, topics, page, warnings=sentences(evidence))
            result.place.write_bytes(page.name, page.read_bytes())
    except (OSError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        print_warnings(console, [f"report.html could not be written: {reason}"])
