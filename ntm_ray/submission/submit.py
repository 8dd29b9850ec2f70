"""A tuning job on a cluster, from Python: submit it, follow it, fetch what it found."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntm_ray.submission.cluster import Cluster
from ntm_ray.submission.fetch import fetch_results
from ntm_ray.submission.follow import Log, follow
from ntm_ray.submission.jobs import Kind
from ntm_ray.submission.packing import pack_job, pack_resume
from ntm_ray.submission.results import FetchedResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ntm_ray.submission.jobs import SubmittedJob
    from ntm_ray.tuning import TuningJob


@dataclass(frozen=True)
class Submission:
    """A job that a cluster has.

    Attributes:
        cluster: The cluster.
        job: The job, as it was when this was made.
    """

    cluster: Cluster
    job: SubmittedJob

    def follow(
        self, show: Callable[[str], None] = print, say: Callable[[str], None] = print
    ) -> Ended:
        """Show the job's log, line by line, until the job has ended; survives lost connections.

        Args:
            show: Told each line of the log.
            say: Told when the connection was lost, and when it is back.

        Raises:
            ClusterError: If the cluster does not know the job any more, or is gone for long.
        """
        log = Log(show)
        job = follow(self.cluster, self.job, log, say)
        return Ended(self.cluster, job, log.result)


@dataclass(frozen=True)
class Ended:
    """A job that has ended.

    Attributes:
        cluster: The cluster.
        job: The job.
        said: What it printed as its result, the object of `ntm-ray tune --json`; None if it came
            to none.
    """

    cluster: Cluster
    job: SubmittedJob
    said: dict[str, Any] | None

    @property
    def outcome(self) -> int:
        """Its exit code: 0, 2 after a mistake, 130 if it was stopped before its end."""
        if self.said is not None and not self.said["interrupted"]:
            return 0  # a stop that came when all was done
        return self.job.outcome

    def fetch(self, output: str | Path | None = None) -> FetchedResult:
        """Bring the results here: `best/`, tables, report; whole or not at all.

        Args:
            output: The folder for them; None: `runs/` and the job's name.

        Raises:
            ClusterError: If there are none, or they cannot be brought or written.
        """
        folder = default_output(self.job.name) if output is None else Path(output)
        if self.said is None:
            raise self.cluster.nothing_found(self.job)
        fetch_results(self.cluster, self.job, folder)
        return FetchedResult.read(folder, self.said)


def submit(
    job: TuningJob,
    address: str | None = None,
    *,
    storage: str | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> Submission:
    """Submit a job to a cluster through Ray's Jobs API.

    The package, the job, a local corpus of up to 80 MB and what the job uses of other packages are
    sent along; a Searcher or TrialScheduler of Ray's too, pickled, for the same Python and Ray.

    Args:
        job: The job; a relative `storage` in it is a folder below `~/ntm-ray` of the head's user.
        address: `http://HEAD:8265`; None: what `RAY_API_SERVER_ADDRESS` or `RAY_ADDRESS` says.
        storage: In place of the job's: a path on the cluster, or a URI.
        warn: Told what is unsafe, but no reason to stop.

    Raises:
        ClusterError: One line on why the cluster cannot have it.
    """
    return submit_to(Cluster.at(address, warn), job, storage)


def submit_to(cluster: Cluster, job: TuningJob, storage: str | None = None) -> Submission:
    """Submit a job to a cluster that was found before; see `submit`."""
    package = pack_job(job, storage)
    job_id = cluster.submit(package, Kind.TUNE, "job.yaml")
    return Submission(cluster, cluster.job(job_id))


def resume(
    cluster: Cluster,
    folder: str,
    plugins: Mapping[str, str] | None = None,
    objects: Mapping[str, object] | None = None,
) -> Submission:
    """Go on with the job of a folder on a cluster, as a new job of the cluster's.

    Args:
        cluster: The cluster.
        folder: The job folder, as the cluster sees it.
        plugins: What of the job comes from other packages: `search` or `scheduler`, to a name.
        objects: New objects of Ray's in place of those that the job began with.
    """
    package = pack_resume(folder, plugins, objects)
    job_id = cluster.submit(package, Kind.RESUME, package.folder)
    return Submission(cluster, cluster.job(job_id))


def default_output(name: str) -> Path:
    """Where results go if nothing is said: where a local job of this name would be."""
    return Path("runs", name)
