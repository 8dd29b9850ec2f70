"""`ntm-ray list`: what can be asked for by name."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """What there is to list."""

    OBJECTIVES = "objectives"
    SEARCH = "search"
    SCHEDULERS = "schedulers"
    SPACES = "spaces"
    CORPORA = "corpora"
    HYPERPARAMETERS = "hyperparameters"


def list_command(
    kind: Annotated[Kind | None, typer.Argument(help="Default: all.", show_default=False)] = None,
) -> None:
    """List objectives, search algorithms, schedulers, spaces, corpora and hyperparameters."""
    kinds = list(Kind) if kind is None else [kind]
    for number, one in enumerate(kinds):
        rows = _rows(one)
        if kind is None:
            typer.echo(f"{'' if number == 0 else chr(10)}{one}:")
        width = max((len(name) for name, _ in rows), default=0)
        for name, summary in rows:
            first, *more = summary.split("\n")
            typer.echo(f"  {name:<{width}}  {first}")
            for line in more:
                typer.echo(f"  {'':<{width}}  {line}")


def _rows(kind: Kind) -> list[tuple[str, str]]:
    if kind is Kind.OBJECTIVES:
        from ntm_ray.model.objectives import OBJECTIVES

        return [
            (one.name, f"{one.direction} {one.formula}\n{one.summary}")
            for one in OBJECTIVES.values()
        ]
    if kind is Kind.CORPORA:
        from ntm_ray.corpus import CORPORA

        return list(CORPORA.items())
    if kind is Kind.HYPERPARAMETERS:
        from ntm_ray.model import SPECIFICATION
        from ntm_ray.model.hyperparameters import EXTENSIONS
        from ntm_ray.report.wording import value

        return [
            (
                field.name,
                f"{field.summary} Allowed: {field.allowed}; "
                + ("required." if field.required else f"default {value(field.default)}."),
            )
            for field in (*SPECIFICATION, *EXTENSIONS)
        ]
    if kind is Kind.SPACES:
        from ntm_ray.tuning import SearchSpace, shipped_spaces

        return [(name, SearchSpace.read(name).description) for name in shipped_spaces()]
    from ntm_ray.tuning import SCHEDULERS, SEARCH_ALGORITHMS

    registry = SEARCH_ALGORITHMS if kind is Kind.SEARCH else SCHEDULERS
    return [
        # Whose it is, where it is not ours.
        (name, named.summary if named.is_ours else f"{named.summary} ({named.package})")
        for name, named in registry.items()
    ]
