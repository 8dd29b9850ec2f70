"""The rules of `cluster/SECURITY.md`: functions from a file's content to what breaks them."""

from __future__ import annotations

import re
from typing import Any

from tests.cluster_files.shipped import (
    launcher_commands,
    pod_specs,
    shell_statements,
    without_comments,
)

CREDENTIALS = (
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    r"-----BEGIN [A-Z ]*PRIVATE KEY",
    r"(?i)\baws_(secret_access_key|session_token)\b",
    r"(?i)\bprivate_key\"",
    r"(?i)\bpassword\s*[:=]\s*\S",
    r"\bAIza[0-9A-Za-z_-]{30,}",
    r"\bgh[pousr]_[0-9A-Za-z]{30,}",
    r"\bRAY_AUTH_TOKEN['\"]?\s*[:=]\s*['\"]?[0-9A-Za-z]{8,}",
    r"\b[0-9a-f]{64}\b",
)
MAY_STAND_FOR_ALL = {
    # EC2 has no smaller resource for these, so a condition on the region narrows them.
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeKeyPairs",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
}


def commands_that_start_ray(commands: list[str]) -> list[str]:
    return [command for command in commands if re.search(r"\bray start\b", command)]


def unsafe_starts(commands: list[str]) -> list[str]:
    """`ray start` without a token, with statistics, or with a dashboard for everybody."""
    broken = []
    for command in commands_that_start_ray(commands):
        before = command[: command.index("ray start")]
        if not re.search(r"(^|\s)RAY_AUTH_MODE=token\s", before):
            broken.append(f"no RAY_AUTH_MODE=token: {command}")
        host = re.search(r"--dashboard-host[= ](\S+)", command)
        if host and host.group(1) != "127.0.0.1":
            broken.append(f"dashboard on {host.group(1)}: {command}")
    return broken


def talkative_starts(commands: list[str]) -> list[str]:
    """`ray start` that may send usage statistics."""
    silent = ("RAY_USAGE_STATS_ENABLED=0", "--disable-usage-stats")
    return [
        f"usage statistics: {command}"
        for command in commands_that_start_ray(commands)
        if not any(word in command for word in silent)
    ]


def launcher_problems(config: dict[str, Any]) -> list[str]:
    """What is unsafe in a file of Ray's cluster launcher."""
    commands = launcher_commands(config)
    problems = unsafe_starts(commands) + talkative_starts(commands)
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        if not commands_that_start_ray(config.get(name, [])):
            problems.append(f"{name} do not start Ray, so Ray's own, without a token, do")
    if "~/.ray/auth_token" not in config.get("file_mounts", {}):
        problems.append("the token does not get to the machines")
    if not any("chmod 600 ~/.ray/auth_token" in command for command in commands):
        problems.append("the token's file may be readable by others")
    return problems


def script_problems(text: str) -> list[str]:
    """What is unsafe in a shell script."""
    statements = shell_statements(text)
    problems = unsafe_starts(statements)
    off = any(re.match(r"\s*export\b.*\bRAY_USAGE_STATS_ENABLED=0", each) for each in statements)
    if not off:
        problems += talkative_starts(statements)
    return problems


def open_addresses(text: str) -> list[str]:
    """Lines that mean every address of a machine, or of the world."""
    return [
        f"open to everybody: {line.strip()}"
        for line in without_comments(text).splitlines()
        if re.search(r"\b0\.0\.0\.0\b|(?<![\w:]):{2}(/0)?(?![\w:])", line)
    ]


def credentials(text: str) -> list[str]:
    """What looks like a credential."""
    return [found.group(0) for pattern in CREDENTIALS for found in re.finditer(pattern, text)]


def pod_problems(spec: dict[str, Any]) -> list[str]:
    """What is unsafe in a pod: root, more rights than needed, no limits, statistics."""
    problems = []
    context = spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        problems.append("the pod may run as root")
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        problems.append("no seccomp profile")
    problems += [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    for container in spec["containers"]:
        problems += [f"{container['name']}: {each}" for each in container_problems(container)]
    return problems


def container_problems(container: dict[str, Any]) -> list[str]:
    problems = []
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        problems.append("may get more rights")
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        problems.append("keeps capabilities")
    if context.get("runAsUser") == 0:
        problems.append("runs as root")
    problems += [
        f"no {kind} of CPU and memory"
        for kind in ("requests", "limits")
        if not {"cpu", "memory"} <= container.get("resources", {}).get(kind, {}).keys()
    ]
    environment = {each["name"]: each for each in container.get("env", [])}
    if environment.get("RAY_USAGE_STATS_ENABLED", {}).get("value") != "0":
        problems.append("may send usage statistics")
    if environment.get("RAY_AUTH_MODE", {}).get("value", "token") != "token":
        problems.append("token authentication is off")
    return problems


def kuberay_problems(content: dict[str, Any]) -> list[str]:
    """What is unsafe in a RayCluster or a RayJob."""
    spec = content["spec"].get("rayClusterSpec", content["spec"])
    problems = [each for pod in pod_specs(content) for each in pod_problems(pod)]
    if spec.get("authOptions", {}).get("mode") != "token":
        problems.append("token authentication is off")
    if spec["headGroupSpec"].get("serviceType", "ClusterIP") != "ClusterIP":
        problems.append("the head is reachable from outside")
    if spec["headGroupSpec"].get("enableIngress"):
        problems.append("an ingress")
    return problems


def dockerfile_problems(text: str) -> list[str]:
    """What is unsafe in the image that a Dockerfile makes: its last stage."""
    last_stage = re.split(r"(?m)^FROM ", without_comments(text))[-1]
    problems = []
    users = re.findall(r"(?m)^USER (\S+)", last_stage)
    if not users or not re.match(r"[1-9]\d*(:|$)", users[-1]):
        problems.append("runs as root, or as a name that Kubernetes cannot tell from root")
    problems += [
        f"no {setting}"
        for setting in ("RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0")
        if not re.search(rf"\b{setting}\b", last_stage)
    ]
    if any("--constraint " not in line for line in pip_installs(text)):
        problems.append("versions are not pinned")
    return problems


def pip_installs(text: str) -> list[str]:
    """The commands that install Python packages."""
    found = []
    for statement in shell_statements(text):
        found += [each for each in statement.split("&&") if "pip install" in each]
    return found


def policy_problems(policy: dict[str, Any]) -> list[str]:
    """What an IAM policy allows beyond the least."""
    problems = []
    for statement in policy["Statement"]:
        where = statement["Sid"]
        actions = as_list(statement["Action"])
        problems += [f"{where}: {action}" for action in actions if "*" in action]
        if "*" not in as_list(statement.get("Resource", [])):
            continue
        problems += [f"{where}: {each} on *" for each in actions if each not in MAY_STAND_FOR_ALL]
        if "Condition" not in statement:
            problems.append(f"{where}: everything, without a condition")
    return problems


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def versions_of_ray(text: str) -> set[str]:
    """The versions of Ray that a file names."""
    return set(
        re.findall(r"\bray(?:\[\w+\])?==([\w.]+)", text)
        + re.findall(r"\brayproject/ray:([\d.]+\d)", text)
        + re.findall(r"\brayVersion:\s*\"?([\w.]+)", text)
    )
