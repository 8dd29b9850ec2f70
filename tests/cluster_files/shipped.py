"""What `cluster/` holds, and the shell commands inside its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
CLUSTER = ROOT / "cluster"
LAUNCHER_FILES = [CLUSTER / name for name in ("aws.yaml", "gcp.yaml", "on-premises.yaml")]
KUBERNETES_FILES = sorted((CLUSTER / "kubernetes").glob("*.yaml"))
RAY_FILES = [CLUSTER / "kubernetes" / name for name in ("raycluster.yaml", "rayjob.yaml")]
SHELL_FILES = sorted(CLUSTER.glob("*.sh"))
DOCKERFILES = sorted(CLUSTER.glob("Dockerfile*"))
IAM_FILES = sorted((CLUSTER / "aws-iam").glob("*.json"))
ALL_FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file())

COMMAND_LISTS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


def named(path: Path) -> str:
    """The name of a shipped file, for the name of a test."""
    return str(path.relative_to(CLUSTER))


def pinned(package: str) -> str:
    """The version of a package that constraints.txt has."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, separator, version = line.partition("==")
        if separator and name.lower() == package:
            return version
    raise LookupError(package)


def launcher(path: Path) -> dict[str, Any]:
    """A file of Ray's cluster launcher."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def documents(path: Path) -> list[dict[str, Any]]:
    """The Kubernetes objects of a file."""
    return list(yaml.safe_load_all(path.read_text()))


def without_comments(text: str) -> str:
    """The text of a file, less its comments: what anything runs or reads."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def launcher_commands(config: dict[str, Any]) -> list[str]:
    """The shell commands of a launcher file, in order."""
    return [command for name in COMMAND_LISTS for command in config.get(name, [])]


def shell_statements(text: str) -> list[str]:
    """The lines of a shell script, those that a backslash continues as one."""
    return re.sub(r"\\\n\s*", " ", without_comments(text)).splitlines()


def pod_specs(value: Any) -> list[dict[str, Any]]:
    """Every pod specification inside an object: whatever has containers."""
    if isinstance(value, list):
        return [found for each in value for found in pod_specs(each)]
    if not isinstance(value, dict):
        return []
    own = [value] if "containers" in value else []
    return own + [found for each in value.values() for found in pod_specs(each)]
