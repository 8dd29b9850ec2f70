"""The command line: thin commands over the package, one file a command."""

from __future__ import annotations

import os
import sys

import typer

from ntm_ray.cli.best import best_command
from ntm_ray.cli.list import list_command
from ntm_ray.cli.logs import logs_command
from ntm_ray.cli.resume import resume_command
from ntm_ray.cli.status import status_command
from ntm_ray.cli.stop import stop_command
from ntm_ray.cli.submit import submit_command
from ntm_ray.cli.topics import topics_command
from ntm_ray.cli.train import train_command
from ntm_ray.cli.tune import INTERRUPTED, tune_command
from ntm_ray.cli.version import version_option
from ntm_ray.errors import InterruptedJobError, NtmRayError

__all__ = ["app", "main"]

# Errors are plain lines everywhere, so rich's boxes are off.
app = typer.Typer(
    name="ntm-ray",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    callback=version_option,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("tune")(tune_command)
app.command("train")(train_command)
app.command("topics")(topics_command)
app.command("best")(best_command)
app.command("list")(list_command)
app.command("submit")(submit_command)
app.command("status")(status_command)
app.command("stop")(stop_command)
app.command("logs")(logs_command)
app.command("resume")(resume_command)


def main() -> None:
    """Run the command line; an error that the user can mend is one line and exit code 2."""
    try:
        app()
    except InterruptedJobError as error:
        sys.stderr.write(f"ntm-ray: {error}\n")
        sys.exit(INTERRUPTED)
    except NtmRayError as error:
        sys.stderr.write(f"ntm-ray: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("ntm-ray: stopped\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe, `head` for one, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
