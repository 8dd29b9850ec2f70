"""`ntm-ray best`: the best model of a job that was carried out, by whatever one likes."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ntm_ray.cli.options import Json, console_for
from ntm_ray.errors import JobError

if TYPE_CHECKING:
    from ntm_ray.model.objectives import Objective
    from ntm_ray.tuning import BestTrial, FoundModels


def best_command(
    folder: Annotated[str, typer.Argument(help="A job folder: a path or a URI.")],
    by: Annotated[
        str | None,
        typer.Option(
            help="An objective (ntm-ray list objectives), topic_uniqueness or topic_diversity. "
            "Default: the job's objective.",
            show_default=False,
        ),
    ] = None,
    trial: Annotated[
        str | None, typer.Option(help="The model of this trial instead.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write the model folder there, whole or not at all.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Hand over a model of a job, by another measure than the job's too; nothing is trained."""
    from ntm_ray.model.objectives import CHOICES, objective_named
    from ntm_ray.tuning import FoundModels

    if by is not None and trial is not None:
        raise JobError("--by and --trial each say which model; give one of them")
    if by is not None:
        objective_named(by, CHOICES)
    if output is not None:
        from ntm_ray.model import check_replaceable

        check_replaceable(output)
    models = FoundModels.read(folder)
    objective = models.objective if by is None else objective_named(by, CHOICES)
    found = models.trial(trial) if trial is not None else models.best_by(by)
    model = found.model()
    if output is not None:
        model.save(output)
    where = found.place.uri if output is None else str(output)
    if json:
        typer.echo(json_format.dumps(_as_json(models, found, objective, where)))
        return
    from ntm_ray.report.summary import TOPIC_WORDS, print_model

    is_best = trial is None
    title = f"Best by {objective.name}: trial" if is_best else "Trial"
    print_model(
        console_for(json=False),
        f"{title} {found.trial}, epoch {found.epoch}",
        found.metrics,
        _value(models, found, objective),
        model.topics(TOPIC_WORDS),
        where,
        is_written=output is not None,
    )


def _value(models: FoundModels, found: BestTrial, objective: Objective) -> tuple[str, str]:
    value = next(one.value(objective) for one in models.models if one.trial == found.trial)
    return objective.name, objective.words(value)


def _as_json(
    models: FoundModels, found: BestTrial, objective: Objective, where: str
) -> dict[str, object]:
    value = next(one.value(objective) for one in models.models if one.trial == found.trial)
    return {
        "trial": found.trial,
        "epoch": found.epoch,
        "by": {"name": objective.name, "direction": objective.direction, "value": value},
        "hyperparameters": found.hyperparameters,
        "metrics": found.metrics,
        "model": where,
    }
