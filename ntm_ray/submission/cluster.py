"""A cluster through Ray's Jobs API, with errors for people."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shlex
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntm_ray.errors import ClusterError
from ntm_ray.submission.address import ADDRESS_VARIABLES, Dashboard, find_dashboard
from ntm_ray.submission.jobs import Kind, SubmittedJob, metadata_of
from ntm_ray.submission.packing import JOB_FOLDER, Package
from ntm_ray.submission.requirements import SUBMITTED_WITH, ray_differs, versions_here

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

SECONDS_TO_STOP = 60
"""How long a job that is stopped has to end in good order; Ray's own default is 3 s."""

_TIMEOUT = (10.0, 60.0)  # to connect, and between two parts of an answer
_NEEDED = ("aiohttp", "requests", "opencensus", "prometheus_client")
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


class LostConnectionError(ClusterError):
    """The cluster did not answer this time."""


class UnknownJobError(ClusterError):
    """The cluster knows no job of this id."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that has answered; `Cluster.at` makes it.

    Attributes:
        url: Of its dashboard.
        client: Ray's own `JobSubmissionClient`.
    """

    url: str
    client: Any

    @classmethod
    def at(cls, address: str | None, warn: Callable[[str], None]) -> Cluster:
        """Find the cluster, and see that it can be talked to.

        Args:
            address: `http://HEAD:8265`; None: what Ray's environment variables say.
            warn: Told of what is unsafe, but no reason to stop.

        Raises:
            ClusterError: One line on why not.
        """
        _check_installed()
        dashboard = find_dashboard(address, warn)
        if (there := dashboard.ray_version) != (here := versions_here()["ray"]):
            raise ClusterError(f"{dashboard.url}: {ray_differs(there, here)}")
        return cls(dashboard.url, _client(dashboard))

    def submit(self, package: Package, kind: Kind, subject: str) -> str:
        """Send a package and start its entry; returns the id of the new job.

        Args:
            package: What is sent.
            kind: What the entry is to do.
            subject: With what: a job file, or a job folder.
        """
        job_id = f"{package.name}-{secrets.token_hex(2)}"
        with tempfile.TemporaryDirectory() as folder, self._errors():
            archive, job = Path(folder, "ntm-ray.zip"), Path(folder, JOB_FOLDER)
            package.write_code(archive)
            package.write_job(job)
            self.client.submit_job(
                entrypoint=shlex.join(
                    ["exec", "python", "-m", "ntm_ray.submission.entry", kind, subject]
                ),
                submission_id=job_id,
                runtime_env={"working_dir": str(archive), "env_vars": environment()}
                | ({"py_modules": [str(job)]} if package.job else {}),
                metadata=metadata_of(package, kind),
            )
        return job_id

    def jobs(self) -> list[SubmittedJob]:
        """All jobs that ntm-ray has submitted, the newest first."""
        with self._errors():
            found = [SubmittedJob.of(details) for details in self.client.list_jobs()]
        ours = [job for job in found if job is not None and job.kind is not Kind.FETCH]
        return sorted(ours, key=lambda job: job.started, reverse=True)

    def find(self, wanted: str) -> SubmittedJob:
        """The job of an id, or the newest of a name.

        Raises:
            ClusterError: If there is none; says which there are.
        """
        jobs = self.jobs()
        for job in jobs:
            if wanted in (job.id, job.name):
                return job
        there = ", ".join(job.id for job in jobs[:10])
        more = f" and {len(jobs) - 10} more" if len(jobs) > 10 else ""
        raise UnknownJobError(
            f"{self.url}: no job is called {wanted!r}; there are {there}{more}"
            if jobs
            else f"{self.url}: no job is called {wanted!r}; ntm-ray has none on this cluster"
        )

    def job(self, job_id: str) -> SubmittedJob:
        """One job, as it is now.

        Raises:
            UnknownJobError: If the cluster does not know it (any more).
        """
        with self._errors(job_id):
            found = SubmittedJob.of(self.client.get_job_info(job_id))
        if found is None:
            raise UnknownJobError(f"{self.url}: {job_id} is no job of ntm-ray")
        return found

    def log(self, job_id: str) -> str:
        """All that a job has printed so far."""
        with self._errors(job_id):
            return str(self.client.get_job_logs(job_id))

    def tail(self, job_id: str) -> AsyncGenerator[str, None]:
        """What a job has printed from its beginning, and prints from now on."""
        tail: AsyncGenerator[str, None] = self.client.tail_job_logs(job_id)
        return tail

    def stop(self, job_id: str) -> None:
        """Ask a job to end."""
        with self._errors(job_id):
            self.client.stop_job(job_id)

    def forget(self, job_id: str) -> None:
        """Take a job that has ended off the cluster's list."""
        with self._errors(job_id):
            self.client.delete_job(job_id)

    def nothing_found(self, job: SubmittedJob) -> ClusterError:
        """The error that says that a job has ended without a result."""
        return ClusterError(
            f"{job.id}: has ended without a result; "
            f"ntm-ray logs {job.id} --address {self.url} shows why"
        )

    @contextlib.contextmanager
    def _errors(self, job_id: str | None = None) -> Iterator[None]:
        """What Ray and requests raise, as one line."""
        import requests

        try:
            yield
        except requests.RequestException as error:
            raise LostConnectionError(f"{self.url}: no answer ({type(error).__name__})") from None
        except (RuntimeError, ConnectionError, ValueError) as error:
            text = str(error).strip()
            if job_id is not None and "404" in text and "does not exist" in text:
                raise UnknownJobError(f"{self.url}: knows no job {job_id}") from None
            # Ray answers with the server's traceback, of which the last line says it.
            last = text.splitlines()[-1] if text else type(error).__name__
            raise ClusterError(f"{self.url}: Ray refuses: {last}") from None


def environment() -> dict[str, str]:
    """Environment variables of a submitted job: its driver's, and those of its trials."""
    return {
        SUBMITTED_WITH: json.dumps(versions_here()),
        # The package is unpacked anew in each session of the cluster; compiling it takes a while.
        "NTM_RAY_COMPILED": "~/.cache/ntm-ray/compiled",
        # Read by the process that stops the driver, which has the job's environment too.
        "RAY_JOB_STOP_WAIT_TIME_S": str(SECONDS_TO_STOP),
    }


def _check_installed() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    try:
        version("ray")
    except PackageNotFoundError:
        missing.append("ray")
    if missing:
        raise ClusterError(
            f"Ray's Jobs API needs more than is installed here ({', '.join(missing)}); "
            "pip install 'ntm-ray[cluster]'"
        )


def _client(dashboard: Dashboard) -> Any:
    before = {name: os.environ.pop(name, None) for name in ADDRESS_VARIABLES}
    try:
        from ray.job_submission import JobSubmissionClient

        class Client(JobSubmissionClient):
            """Ray's client, which by itself waits for ever for an answer."""

            def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
                return super()._do_request(method, endpoint, **({"timeout": _TIMEOUT} | options))

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)
        # These variables would take the place of the address that was given.
        return Client(dashboard.url, headers=dashboard.headers)
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})
