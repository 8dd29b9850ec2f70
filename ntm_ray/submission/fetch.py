"""Bringing what a job found here: from storage that this machine reads, or by the Jobs API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ntm_ray.errors import ClusterError
from ntm_ray.submission.archive import archive_in
from ntm_ray.submission.cluster import LostConnectionError
from ntm_ray.submission.distributions import this_package
from ntm_ray.submission.jobs import Kind
from ntm_ray.submission.packing import Package
from ntm_ray.submission.results import Results, read_results, write_results

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.submission.cluster import Cluster
    from ntm_ray.submission.jobs import SubmittedJob

_SECONDS = 300.0
_PATIENCE = 5.0


def fetch_results(cluster: Cluster, job: SubmittedJob, output: Path) -> None:
    """Bring the results of a job into a folder, whole or not at all.

    Raises:
        ClusterError: If there are none, they are too large, or the folder cannot be written.
    """
    results: Results | None = None
    if "://" in job.folder:
        try:
            results = read_results(job.folder, patience=_PATIENCE)
        except ClusterError:
            results = None  # this machine may not be allowed to; the cluster is
    write_results(results or _through_jobs_api(cluster, job), output)


def _through_jobs_api(cluster: Cluster, job: SubmittedJob) -> Results:
    """A second, small job prints the results into its log."""
    package = Package(f"fetch-{job.name}", job.folder, this_package())
    helper = cluster.submit(package, Kind.FETCH, job.folder)
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            if cluster.job(helper).has_ended:
                break
        except LostConnectionError:
            pass  # it may come back until the deadline
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{cluster.url}: the results have not come within {_SECONDS / 60:.0f} min; they "
                f"are in {job.folder} on the cluster"
            )
        time.sleep(0.5)
    log = cluster.log(helper)
    try:
        return archive_in(log)
    except ClusterError as error:
        trouble = cluster.job(helper).trouble
        raise ClusterError(f"{cluster.url}: no results: {trouble or error}") from None
    finally:
        cluster.forget(helper)
