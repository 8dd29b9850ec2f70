"""`ntm-ray status`: the jobs that a cluster has, and how far they are."""

from __future__ import annotations

import json as json_format
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from ntm_ray.cli.cluster import Address, find_cluster
from ntm_ray.cli.options import Json, console_for
from ntm_ray.errors import ClusterError
from ntm_ray.report.wording import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ntm_ray.submission.cluster import Cluster
    from ntm_ray.submission.jobs import HowFar, SubmittedJob

_NEWEST = 20
"""How many jobs' logs are asked how far they are."""


def status_command(
    job: Annotated[
        str | None,
        typer.Argument(metavar="[JOB]", help="A job's id or name. Default: all of them."),
    ] = None,
    address: Address = None,
    json: Json = False,
) -> None:
    """Show the jobs of ntm-ray on a cluster, the newest first, and how far each is."""
    console = console_for(json=json)
    cluster = find_cluster(address)
    jobs = cluster.jobs() if job is None else [cluster.find(job)]
    with ThreadPoolExecutor() as pool:
        how_far: list[HowFar | None] = list(
            pool.map(lambda one: _how_far(cluster, one), jobs[:_NEWEST])
        )
    how_far += [None] * (len(jobs) - len(how_far))
    if json:
        told = [
            one.to_json_dict() | {"progress": asdict(far) if far else None}
            for one, far in zip(jobs, how_far, strict=True)
        ]
        typer.echo(json_format.dumps(told if job is None else told[0]))
    elif job is not None:
        _print_one(console, jobs[0], how_far[0])
    elif jobs:
        _print_all(console, jobs, how_far)
    else:
        console.print(f"ntm-ray has no job on {cluster.url}", soft_wrap=True)


def _how_far(cluster: Cluster, job: SubmittedJob) -> HowFar | None:
    from ntm_ray.submission.jobs import how_far

    try:
        return how_far(cluster.log(job.id))
    except ClusterError:
        return None  # the node that has the log may be gone


def _print_all(
    console: Console, jobs: Sequence[SubmittedJob], how_far: Sequence[HowFar | None]
) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("job", "status", "since", "trials", "best"):
        table.add_column(title, header_style="bold", overflow="fold")
    for job, far in zip(jobs, how_far, strict=True):
        table.add_row(
            job.id,
            _status(job),
            _since(job),
            f"{far.ended}/{far.trials}" if far else "-",
            f"{far.best:.4f}" if far and far.best is not None else "-",
        )
    console.print(table)


def _print_one(console: Console, job: SubmittedJob, far: HowFar | None) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("job", job.id)
    table.add_row("status", f"{_status(job)}, since {_since(job)}")
    table.add_row("folder", Text(job.folder))
    if far:
        best = "" if far.best is None else f"; best validation loss {far.best:.4f} nats a word"
        left = "" if far.left is None or job.has_ended else f"; about {far.left} left"
        table.add_row("trials", f"{far.ended} of {far.trials} have ended{best}{left}")
    if job.trouble:
        table.add_row("trouble", Text(job.trouble))
    console.print(table)


def _status(job: SubmittedJob) -> str:
    return {"SUCCEEDED": "finished"}.get(job.status, job.status.lower())


def _since(job: SubmittedJob) -> str:
    return duration(max(0.0, time.time() - (job.ended or job.started)))
