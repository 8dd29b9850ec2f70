"""`ntm-ray submit`: carry out a tuning job on a cluster."""

from __future__ import annotations

import inspect
import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
import yaml

from ntm_ray.cli.cluster import (
    Address,
    Follow,
    Output,
    find_cluster,
    follow_to_the_end,
    print_how_to_follow,
    print_submitted,
)
from ntm_ray.cli.options import Json, console_for, given, parse_settings
from ntm_ray.cli.tune import make_job, tune_command

if TYPE_CHECKING:
    from ntm_ray.tuning import TuningJob

_NOT_HERE = {"address", "resume", "json"}
"""Options of `ntm-ray tune` that mean something else here, or nothing."""


def _submit(
    address: Address = None,
    follow: Follow = True,
    output: Output = None,
    json: Json = False,
    **options: Any,
) -> None:
    """Carry out a tuning job on a cluster: send it, follow it, and fetch what it found.

    SOURCE and options are those of ntm-ray tune. The package, the job file and a local corpus of
    up to 80 MB are sent along. A relative --storage is a folder below ~/ntm-ray on the cluster's
    head. Ctrl-C stops following, not the job.
    """
    from ntm_ray.submission.results import check_output
    from ntm_ray.submission.submission import default_output, submit_to

    console = console_for(json=json)
    storage = _storage_said(options)
    job = _job(options)
    if output is not None:
        check_output(output)
    cluster = find_cluster(address)
    submission = submit_to(cluster, job, storage)
    print_submitted(console, submission)
    if follow:
        where = output or default_output(submission.job.name)
        follow_to_the_end(submission, where, console, json=json)
    elif json:
        typer.echo(json_format.dumps(submission.job.to_json_dict()))
    else:
        print_how_to_follow(console, submission)


def _storage_said(options: dict[str, Any]) -> str | None:
    """The storage as the user wrote it: `~` is the home of the head's user, not of this one."""
    source = options["source"]
    given_here: str | None = options["storage"]
    if given_here is not None or source is None or not source.endswith((".yaml", ".yml")):
        return given_here
    try:
        content = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None  # which is said when the job is read
    said = content.get("storage") if isinstance(content, dict) else None
    return said if isinstance(said, str) else None


def _job(options: dict[str, Any]) -> TuningJob:
    fields = dict(options)
    source = fields.pop("source")
    fixed = given(num_topics=fields.pop("num_topics"), epochs=fields.pop("epochs"))
    fixed |= parse_settings(fields.pop("settings"))
    names = ("max_words", "max_document_fraction", "validation_fraction")
    reading = given(**{name: fields.pop(name) for name in names})
    return make_job(source, given(search_space=fields.pop("space"), **fields), reading, fixed)


def _with_the_options_of_tune() -> Any:
    """The command, with the signature that typer reads: its own options behind those of tune."""
    tune = inspect.signature(tune_command, eval_str=True)
    own = inspect.signature(_submit, eval_str=True)
    parameters = [p for name, p in tune.parameters.items() if name not in _NOT_HERE]
    parameters += [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]

    def submit_command(**options: Any) -> None:
        _submit(**options)

    submit_command.__doc__ = _submit.__doc__
    submit_command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    submit_command.__annotations__ = {p.name: p.annotation for p in parameters}
    return submit_command


submit_command = _with_the_options_of_tune()
