"""Jobs of ntm-ray as Ray's Jobs API lists them."""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ntm_ray._version import __version__

if TYPE_CHECKING:
    from ntm_ray.submission.packing import Package

RESULT_MARK = "ntm-ray-result "
"""What a line of a job's log begins with that holds its result as JSON; not for people."""

_ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}
# As `ntm_ray.report.LiveProgress` prints it where there is no terminal.
_PROGRESS = re.compile(
    r"^\[[\d:]+(?:, about (?P<left>[\d:]+) left)?\] (?P<ended>\d+)/(?P<trials>\d+) trials: "
    r".*?(?:; best (?P<best>[\d.]+), .*)?$",
    re.MULTILINE,
)
INTERRUPTED = 130
_NOT_FOUND = 127


class Kind(enum.StrEnum):
    """What a submitted job is for."""

    TUNE = "tune"
    RESUME = "resume"
    FETCH = "fetch"


@dataclass(frozen=True)
class SubmittedJob:
    """One job of the cluster's list.

    Attributes:
        id: The Jobs API's.
        name: The tuning job's, and that of its folder.
        folder: The job folder as the cluster sees it.
        kind: Whether it began a tuning job or went on with one.
        version: Of the ntm-ray that it was submitted with.
        plugins: What of it comes from other packages; see `Package.plugins`.
        status: `PENDING`, `RUNNING`, `STOPPED`, `SUCCEEDED` or `FAILED`.
        started: When it was submitted, seconds since 1970; `ended`: when it ended, or None.
        exit_code: Its driver's, or None.
        message: What Ray says about its status.
    """

    id: str
    name: str
    folder: str
    kind: Kind
    version: str
    status: str
    started: float
    ended: float | None = None
    exit_code: int | None = None
    message: str = ""
    plugins: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, details: Any) -> SubmittedJob | None:
        """Take what Ray says of a job; None if it is not one of ours."""
        said = details.metadata or {}
        if "ntm_ray" not in said or details.submission_id is None:
            return None
        return cls(
            id=details.submission_id,
            name=said["ntm_ray_name"],
            folder=said["ntm_ray_folder"],
            kind=Kind(said["ntm_ray"]),
            version=said["ntm_ray_version"],
            plugins=json.loads(said["ntm_ray_plugins"]),
            status=str(getattr(details.status, "value", details.status)),
            started=(details.start_time or 0) / 1000,
            ended=details.end_time / 1000 if details.end_time else None,
            exit_code=details.driver_exit_code,
            message=details.message or "",
        )

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in _ENDED

    @property
    def outcome(self) -> int:
        """The exit code that stands for how it ended: its own, where Ray knows that."""
        if self.exit_code is not None:
            return self.exit_code
        return {"SUCCEEDED": 0, "STOPPED": INTERRUPTED}.get(self.status, 1)

    @property
    def trouble(self) -> str | None:
        """Why it failed, where its log does not say: one line."""
        if self.exit_code == _NOT_FOUND:
            return (
                f"{self.id}: the cluster's Ray finds no `python`; start Ray there with its "
                "virtual environment on the PATH"
            )
        if self.status != "FAILED" or self.exit_code is not None:
            return None
        lines = [line.strip() for line in self.message.splitlines() if line.strip()]
        return f"{self.id}: {' '.join(lines[:3]) or 'failed, and Ray does not say why'}"

    def to_json_dict(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {
            "id": self.id,
            "name": self.name,
            "folder": self.folder,
            "status": self.status,
            "started": self.started,
            "ended": self.ended,
            "exit_code": self.exit_code,
            "version": self.version,
        }


def metadata_of(package: Package, kind: Kind) -> dict[str, str]:
    """What the Jobs API keeps with a job, so that `SubmittedJob.of` finds it again."""
    return {
        "ntm_ray": kind,
        "ntm_ray_version": __version__,
        "ntm_ray_name": package.name,
        "ntm_ray_folder": package.folder,
        "ntm_ray_plugins": json.dumps(dict(package.plugins)),
    }


def result_in(log: str) -> dict[str, Any] | None:
    """The result that a job's log holds, if it came to one."""
    for line in reversed(log.splitlines()):
        if line.startswith(RESULT_MARK):
            result: dict[str, Any] = json.loads(line.removeprefix(RESULT_MARK))
            return result
    return None


@dataclass(frozen=True)
class HowFar:
    """How far a job is, by the last line of its log that says so.

    Attributes:
        ended: How many trials have ended, of `trials`.
        trials: How many the job has.
        best: Its best `validation:total_loss` so far, nats a word.
        left: About how long it still takes, as a clock shows it.
        line: The whole line.
    """

    ended: int
    trials: int
    best: float | None
    left: str | None
    line: str


def how_far(log: str) -> HowFar | None:
    """How far the job of a log is, once it has said so."""
    lines = list(_PROGRESS.finditer(log))
    if not lines:
        return None
    found = lines[-1]
    best = found["best"]
    return HowFar(
        ended=int(found["ended"]),
        trials=int(found["trials"]),
        best=float(best) if best else None,
        left=found["left"],
        line=found[0],
    )
