"""`ntm-ray resume`: go on with a job on a cluster."""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer

from ntm_ray._version import __version__
from ntm_ray.cli.cluster import (
    Address,
    Follow,
    Output,
    find_cluster,
    follow_to_the_end,
    print_how_to_follow,
    print_submitted,
)
from ntm_ray.cli.options import Json, console_for
from ntm_ray.errors import ClusterError
from ntm_ray.report.summary import print_warnings


def resume_command(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB",
            help="A job's id or name, or its job folder: a path on the cluster, or a URI.",
        ),
    ],
    address: Address = None,
    follow: Follow = True,
    output: Output = None,
    json: Json = False,
) -> None:
    """Go on with a job on a cluster that was stopped or cut off; what is finished stays."""
    from ntm_ray.submission.results import check_output
    from ntm_ray.submission.submission import default_output, resume

    console = console_for(json=json)
    if output is not None:
        check_output(output)
    cluster = find_cluster(address)
    if "/" in job:
        known = next((one for one in cluster.jobs() if one.folder == job.rstrip("/")), None)
    else:
        known = cluster.find(job)
    if known is not None and not known.has_ended:
        raise ClusterError(
            f"{known.id}: still works on {known.folder}; ntm-ray logs {known.id} --follow "
            "shows it, ntm-ray stop ends it"
        )
    if known is not None and known.version != __version__:
        warning = f"the job began with ntm-ray {known.version}, and goes on with {__version__}"
        print_warnings(console, [warning])
    folder = known.folder if known is not None else job
    submission = resume(cluster, folder, known.plugins if known is not None else None)
    print_submitted(console, submission)
    if follow:
        where = output or default_output(submission.job.name)
        follow_to_the_end(submission, where, console, json=json)
    elif json:
        typer.echo(json_format.dumps(submission.job.to_json_dict()))
    else:
        print_how_to_follow(console, submission)
