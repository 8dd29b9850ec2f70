"""`ntm-ray doctor`: what is wrong with a model, and what to change."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from typing import Annotated

import typer

from ntm_ray.cli.options import Json, console_for


def doctor_command(
    model: Annotated[
        str,
        typer.Argument(help="A model folder, or a job folder for its best; a path or a URI."),
    ],
    json: Json = False,
) -> None:
    """Say what is wrong with a model and what to change, in a sentence each."""
    from ntm_ray.model.doctor import not_judged
    from ntm_ray.report.diagnosis import for_json, print_diagnosis, unjudged
    from ntm_ray.tuning.diagnosis import evidence_at
    from ntm_ray.tuning.storage import Place

    evidence = evidence_at(Place.at(model))
    if json:
        known = {name: value for name, value in asdict(evidence).items() if value is not None}
        said = {"model": model, **for_json(evidence), "not_judged": not_judged(evidence)}
        typer.echo(json_format.dumps(said | {"evidence": known}))
        return
    console = console_for(json=False)
    print_diagnosis(console, evidence)
    if (rest := unjudged(evidence)) is not None:
        console.print()
        console.print(rest)
