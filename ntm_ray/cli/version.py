"""`ntm-ray --version`."""

from __future__ import annotations

from typing import Annotated

import typer

from ntm_ray._version import __version__


def _show(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ntm-ray {__version__}")
        raise typer.Exit


def version_option(
    version: Annotated[
        bool, typer.Option("--version", callback=_show, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Tune neural topic models on Ray, with SageMaker NTM's hyperparameters and loss."""
