"""What the commands that talk to a cluster share: options, and following a job to its end."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ntm_ray.report.summary import TOPIC_WORDS, print_command, print_result
from ntm_ray.submission.jobs import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from ntm_ray.submission.cluster import Cluster
    from ntm_ray.submission.submission import Submission

Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The cluster's dashboard, http://HEAD:8265. Default: RAY_API_SERVER_ADDRESS, or "
        "RAY_ADDRESS.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where results are brought to. Default: runs/ and the job's name.",
        show_default=False,
    ),
]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow/--no-follow", help="Show the job's log to its end, and fetch what it found."
    ),
]
JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's id or name, as ntm-ray status has it.")
]


def find_cluster(address: str | None) -> Cluster:
    """The cluster of an `--address`; warnings go to standard error."""
    from ntm_ray.submission.cluster import Cluster

    return Cluster.at(address, lambda said: typer.echo(f"ntm-ray: warning: {said}", err=True))


def command_for(submission: Submission, *words: str) -> list[str]:
    """An `ntm-ray` command for the job of a submission, which works from anywhere."""
    return [*words, "--address", submission.cluster.url]


def print_submitted(console: Console, submission: Submission) -> None:
    """Say what the cluster has now, and where its results will be."""
    job = submission.job
    console.print(f"Submitted as {job.id} to {submission.cluster.url}", soft_wrap=True)
    where = " (on the cluster's head)" if job.folder.startswith("~/") else ""
    console.print(f"Job folder: {job.folder}{where}", soft_wrap=True)


def print_how_to_follow(console: Console, submission: Submission) -> None:
    """Print the commands that follow a job, and stop it."""
    job_id = submission.job.id
    console.print("To follow it, or to stop it:")
    print_command(console, command_for(submission, "logs", job_id, "--follow"))
    print_command(console, command_for(submission, "stop", job_id))


def follow_to_the_end(
    submission: Submission, output: Path, console: Console, *, json: bool
) -> None:
    """Show a job's log until it has ended, fetch its results and print them.

    Raises:
        Exit: With the job's own exit code, unless that is 0.
        ClusterError: If the cluster is gone, or the results cannot be had.
    """
    from ntm_ray.submission.results import check_output
    from ntm_ray.tuning.diagnosis import evidence_at

    check_output(output)
    job_id = submission.job.id
    try:
        ended = submission.follow(
            lambda line: console.print(Text(line), soft_wrap=True),
            lambda news: console.print(Text(news, "yellow"), soft_wrap=True),
        )
    except KeyboardInterrupt:
        console.print()
        console.print("Stopped following; the job goes on.")
        print_how_to_follow(console, submission)
        raise typer.Exit(INTERRUPTED) from None
    code = ended.outcome
    if trouble := ended.job.trouble:
        console.print(Text(trouble, "yellow"), soft_wrap=True)
    if ended.said is not None:
        console.print(f"Fetching the results to {output} ...", soft_wrap=True)
        result = ended.fetch(output)
        if json:
            said = ended.said | {"folder": str(output), "job": ended.job.to_json_dict()}
            typer.echo(json_format.dumps(said))
        else:
            topics = result.best.model().topics(TOPIC_WORDS)
            go_on = command_for(submission, "resume", job_id)
            print_result(console, result, result.tuned, topics, evidence_at(result.place), go_on)
    elif code == INTERRUPTED:
        console.print("Stopped before there was a result. Go on with:")
        from ntm_ray.report.summary import print_command

        print_command(console, command_for(submission, "resume", job_id))
    if code:
        raise typer.Exit(code)
