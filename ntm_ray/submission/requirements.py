"""Whether what is installed on a cluster fits what was submitted; standard library only.

The one who submits says which Ray and which Python the job was made with; the packages that were
uploaded say in their metadata what they need.
"""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version

SUBMITTED_WITH = "NTM_RAY_SUBMITTED_WITH"
"""Environment variable of a submitted job: a JSON object of `ray` and `python` versions."""


def python_here() -> str:
    """Major and minor version of this Python, `3.11`: what has to be the same everywhere."""
    return "{}.{}".format(*sys.version_info[:2])


def versions_here() -> dict[str, str]:
    """Versions of Ray and Python here, as `SUBMITTED_WITH` holds them.

    Raises:
        PackageNotFoundError: If Ray is not installed.
    """
    return {"ray": version("ray"), "python": python_here()}


def mismatch(folder: str) -> str | None:
    """Why a submitted job cannot run here, in one line, or None.

    Args:
        folder: The working directory, with the metadata of the packages that were uploaded.
    """
    said: dict[str, str] = json.loads(os.environ.get(SUBMITTED_WITH, "{}"))
    if said.get("python", python_here()) != python_here():
        return (
            f"the cluster has Python {python_here()} ({sys.executable}), the job was submitted "
            f"with Python {said['python']}; submit it with Python {python_here()}, or start the "
            f"cluster with {said['python']}"
        )
    try:
        ray_here = version("ray")
    except PackageNotFoundError:
        return (
            f"{sys.executable} on the cluster has no Ray; start Ray there with its virtual "
            "environment on the PATH, so that `python` is the one that Ray runs with"
        )
    if said.get("ray", ray_here) != ray_here:
        return ray_differs(ray_here, said["ray"])
    return _missing(folder)


def ray_differs(cluster: str, here: str) -> str:
    """The line that says that Ray is another one on the cluster than here."""
    return (
        f"the cluster has Ray {cluster}, the job was submitted with Ray {here}; "
        f"pip install 'ray[default,tune]=={cluster}' here, or =={here} on the cluster"
    )


def _missing(folder: str) -> str | None:
    """What the uploaded packages need, and is not there, with the command that mends it."""
    from packaging.requirements import Requirement  # Ray needs it too

    uploaded = {_canonical(found.metadata["Name"]): found for found in _uploaded(folder)}
    wanted: dict[str, str] = {}
    for found in uploaded.values():
        for line in found.requires or []:
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if _canonical(requirement.name) in uploaded:
                continue
            try:
                there = version(requirement.name)
            except PackageNotFoundError:
                wanted[_plain(requirement)] = "is not installed"
                continue
            if not requirement.specifier.contains(there, prereleases=True):
                wanted[_plain(requirement)] = f"is {there}"
    if not wanted:
        return None
    complaints = ", ".join(f"{name} ({state})" for name, state in wanted.items())
    command = " ".join(f"'{name}'" for name in wanted)
    return (
        f"packages are missing on the cluster or do not fit: {complaints}; "
        f"on every node, {sys.executable} -m pip install {command}"
    )


def _uploaded(folder: str) -> list[Distribution]:
    return list(distributions(path=[folder]))


def _plain(requirement: object) -> str:
    """A requirement without its marker, as pip takes it."""
    return str(requirement).split(";", 1)[0].strip()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
