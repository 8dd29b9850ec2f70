"""`ntm-ray logs`: what a job on a cluster has printed, and prints."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from ntm_ray.cli.cluster import Address, JobId, Output, find_cluster, follow_to_the_end
from ntm_ray.cli.options import Json, console_for


def logs_command(
    job: JobId,
    address: Address = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on to the job's end, and fetch what it found.")
    ] = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show what a job on a cluster has printed; --follow goes on, as ntm-ray submit does."""
    from ntm_ray.submission.follow import Log
    from ntm_ray.submission.submit import Submission, default_output

    console = console_for(json=json)
    cluster = find_cluster(address)
    found = cluster.find(job)
    if follow:
        where = output or default_output(found.name)
        follow_to_the_end(Submission(cluster, found), where, console, json=json)
        return
    log = Log(lambda line: console.print(Text(line), soft_wrap=True))
    log.take(cluster.log(found.id), 0)
    log.close()
