"""`ntm-ray stop`: end a job on a cluster in good order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ntm_ray.cli.cluster import Address, JobId, command_for, find_cluster
from ntm_ray.cli.options import console_for
from ntm_ray.errors import ClusterError
from ntm_ray.report.summary import print_command

if TYPE_CHECKING:
    from ntm_ray.submission.jobs import SubmittedJob


def stop_command(job: JobId, address: Address = None) -> None:
    """Stop a job on a cluster; what is finished is kept, and ntm-ray resume goes on with it."""
    from ntm_ray.submission.cluster import SECONDS_TO_STOP, LostConnectionError
    from ntm_ray.submission.jobs import result_in
    from ntm_ray.submission.submission import Submission

    console = console_for(json=False)
    cluster = find_cluster(address)
    found = cluster.find(job)
    if found.has_ended:
        raise ClusterError(f"{found.id}: has ended already ({found.status.lower()})")
    console.print(f"Stopping {found.id}; what is finished is kept ...", soft_wrap=True)
    cluster.stop(found.id)
    deadline = time.monotonic() + 2 * SECONDS_TO_STOP
    while not found.has_ended:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{found.id}: has not ended yet; ntm-ray status {found.id} shows it"
            )
        time.sleep(0.5)
        try:
            found = cluster.job(found.id)
        except LostConnectionError:
            continue
    result = result_in(cluster.log(found.id))
    console.print(_what_is_kept(found, result), soft_wrap=True)
    if result is None or result["interrupted"]:
        console.print("Go on with:")
        print_command(console, command_for(Submission(cluster, found), "resume", found.id))


def _what_is_kept(job: SubmittedJob, result: dict[str, Any] | None) -> str:
    if result is None:
        return f"Stopped. Kept in {job.folder}: what was finished; there is no model yet."
    how = "Stopped after" if result["interrupted"] else "It had carried out all"
    return (
        f"{how} {sum(result['trials'].values())} trials; best validation loss "
        f"{result['best']['validation:total_loss']:.4f} nats a word. Kept in {job.folder}: "
        "trials, tables and the best model."
    )
