"""What `cluster/SECURITY.md` promises of the shipped files, and that each check can refuse."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster_files import rules
from tests.cluster_files.shipped import (
    ALL_FILES,
    CLUSTER,
    DOCKERFILES,
    IAM_FILES,
    KUBERNETES_FILES,
    LAUNCHER_FILES,
    RAY_FILES,
    SHELL_FILES,
    documents,
    launcher,
    named,
    pinned,
    pod_specs,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOT_PROSE = [path for path in ALL_FILES if path.suffix != ".md"]


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=named)
def test_every_ray_of_a_launcher_file_has_a_token_and_sends_no_statistics(path: Path) -> None:
    assert rules.launcher_problems(launcher(path)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RAY_AUTH_MODE=token ", ""),
        ("RAY_AUTH_MODE=token ", "RAY_AUTH_MODE=disabled "),
        ("RAY_USAGE_STATS_ENABLED=0 ray start --address", "ray start --address"),
        ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0"),
        ("~/.ray/auth_token: ~/.ray/auth_token", "~/.ray/other: ~/.ray/auth_token"),
        ("&& chmod 600 ~/.ray/auth_token", ""),
        ("worker_start_ray_commands:", "head_setup_commands:"),
    ],
)
@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=named)
def test_a_launcher_file_that_breaks_a_rule_is_refused(
    path: Path, old: str, new: str, tmp_path: Path
) -> None:
    text = path.read_text()
    assert old in text
    spoilt = tmp_path / "spoilt.yaml"
    spoilt.write_text(text.replace(old, new))
    assert rules.launcher_problems(launcher(spoilt))


@pytest.mark.parametrize("path", SHELL_FILES, ids=named)
def test_every_ray_of_a_script_has_a_token_and_sends_no_statistics(path: Path) -> None:
    assert rules.script_problems(path.read_text()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    RAY_AUTH_MODE=token ray start", "    ray start"),
        ("export RAY_USAGE_STATS_ENABLED=0", ""),
        ('RAY_AUTH_MODE=token ray start "', 'RAY_AUTH_MODE=token ray start --dashboard-host x "'),
    ],
)
def test_a_script_that_breaks_a_rule_is_refused(old: str, new: str) -> None:
    text = (CLUSTER / "slurm.sh").read_text()
    assert old in text
    assert rules.script_problems(text.replace(old, new))


@pytest.mark.parametrize("path", NOT_PROSE, ids=named)
def test_nothing_listens_on_every_address(path: Path) -> None:
    assert rules.open_addresses(path.read_text()) == []


@pytest.mark.parametrize("line", ["host: 0.0.0.0", "CidrIp: 0.0.0.0/0", "--host ::", "cidr: ::/0"])
def test_an_open_address_is_found(line: str) -> None:
    assert rules.open_addresses(f"# 0.0.0.0 in a comment\n{line}\n") == [
        f"open to everybody: {line}"
    ]


@pytest.mark.parametrize("path", ALL_FILES, ids=named)
def test_no_file_has_a_credential_in_it(path: Path) -> None:
    assert rules.credentials(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "key: AKIA" + "ABCDEFGHIJKLMNOP",
        "-----BEGIN RSA PRIVATE" + " KEY-----",
        "AWS_SECRET_ACCESS" + "_KEY=x",
        "pass" + "word: hunter2",
        "RAY_AUTH" + "_TOKEN=0123456789abcdef",
        "token " + "0123456789abcdef" * 4,
        "gh" + "p_" + "a" * 36,
    ],
)
def test_a_credential_is_found(line: str) -> None:
    assert rules.credentials(f"name: x\n{line}\n")


@pytest.mark.parametrize("path", RAY_FILES, ids=named)
def test_pods_have_a_token_no_root_and_limits(path: Path) -> None:
    (content,) = documents(path)
    assert len(pod_specs(content)) >= 3
    assert rules.kuberay_problems(content) == []


def without(*path: str | int) -> Callable[[dict[str, Any]], None]:
    """A change that takes one value away."""

    def change(content: dict[str, Any]) -> None:
        del into(content, *path[:-1])[path[-1]]

    return change


def with_value(value: Any, *path: str | int) -> Callable[[dict[str, Any]], None]:
    """A change that sets one value."""

    def change(content: dict[str, Any]) -> None:
        into(content, *path[:-1])[path[-1]] = value

    return change


def into(content: Any, *path: str | int) -> Any:
    for key in path:
        content = content[key]
    return content


HEAD = ("spec", "headGroupSpec")
HEAD_POD = (*HEAD, "template", "spec")
WORKER = ("spec", "workerGroupSpecs", 1, "template", "spec", "containers", 0)


@pytest.mark.parametrize(
    "spoil",
    [
        without("spec", "authOptions"),
        with_value("disabled", "spec", "authOptions", "mode"),
        with_value("LoadBalancer", *HEAD, "serviceType"),
        with_value(True, *HEAD, "enableIngress"),
        with_value(True, *HEAD_POD, "hostNetwork"),
        without(*HEAD_POD, "securityContext", "runAsNonRoot"),
        with_value(0, *HEAD_POD, "securityContext", "runAsUser"),
        without(*HEAD_POD, "securityContext", "seccompProfile"),
        without(*WORKER, "securityContext"),
        with_value([], *WORKER, "securityContext", "capabilities", "drop"),
        with_value(0, *WORKER, "securityContext", "runAsUser"),
        with_value(True, *WORKER, "securityContext", "privileged"),
        without(*WORKER, "resources", "limits", "memory"),
        without(*WORKER, "resources", "requests"),
        without(*WORKER, "env"),
        with_value("1", *WORKER, "env", 0, "value"),
    ],
)
def test_a_cluster_that_breaks_a_rule_is_refused(spoil: Callable[[dict[str, Any]], None]) -> None:
    (content,) = documents(CLUSTER / "kubernetes" / "raycluster.yaml")
    spoil(content)
    assert rules.kuberay_problems(content)


def test_only_pods_of_the_cluster_and_the_operator_reach_it() -> None:
    (policy,) = [
        each
        for each in documents(CLUSTER / "kubernetes" / "access.yaml")
        if each["kind"] == "NetworkPolicy"
    ]
    own = policy["spec"]["podSelector"]["matchLabels"]
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert all(rule["from"] for rule in policy["spec"]["ingress"])
    for path in RAY_FILES:
        (content,) = documents(path)
        labels = list(labels_of_templates(content))
        assert len(labels) == len(pod_specs(content))
        assert all(own.items() <= each.items() for each in labels)


def labels_of_templates(value: Any) -> list[dict[str, str]]:
    if isinstance(value, list):
        return [found for each in value for found in labels_of_templates(each)]
    if not isinstance(value, dict):
        return []
    own = [value["metadata"]["labels"]] if "containers" in value.get("spec", {}) else []
    return own + [found for each in value.values() for found in labels_of_templates(each)]


@pytest.mark.parametrize("path", DOCKERFILES, ids=named)
def test_an_image_is_not_root_and_pinned(path: Path) -> None:
    assert rules.dockerfile_problems(path.read_text()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("USER 1000:1000", ""),
        ("USER 1000:1000", "USER 1000:1000\nUSER root"),
        ("USER 1000:1000", "USER 0"),
        ("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"),
        ("RAY_USAGE_STATS_ENABLED=0", "RAY_USAGE_STATS_ENABLED=1"),
        ("--constraint constraints.txt", ""),
    ],
)
@pytest.mark.parametrize("path", DOCKERFILES, ids=named)
def test_an_image_that_breaks_a_rule_is_refused(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    assert rules.dockerfile_problems(text.replace(old, new))


@pytest.mark.parametrize("path", IAM_FILES, ids=named)
def test_a_policy_allows_the_least(path: Path) -> None:
    policy = json.loads(path.read_text())
    assert policy["Version"] == "2012-10-17"
    assert rules.policy_problems(policy) == []


def test_the_roles_see_one_folder_of_one_bucket() -> None:
    policy = json.loads((CLUSTER / "aws-iam" / "nodes.json").read_text())
    actions = {each for s in policy["Statement"] for each in rules.as_list(s["Action"])}
    assert all(action.startswith("s3:") for action in actions)
    for statement in policy["Statement"]:
        (resource,) = rules.as_list(statement["Resource"])
        in_folder = resource.endswith("/ntm-ray/*")
        assert in_folder or "s3:prefix" in statement["Condition"]["StringLike"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("Action", "*"), ("Action", "ec2:*"), ("Action", "ec2:Run*"), ("Resource", "*")],
)
@pytest.mark.parametrize("path", IAM_FILES, ids=named)
def test_a_policy_that_allows_more_is_refused(path: Path, key: str, value: str) -> None:
    policy = json.loads(path.read_text())
    policy["Statement"][-1][key] = value
    assert rules.policy_problems(policy)


def test_a_description_of_everything_needs_a_condition() -> None:
    policy = json.loads((CLUSTER / "aws-iam" / "head.json").read_text())
    (seeing,) = [each for each in policy["Statement"] if each["Resource"] == "*"]
    del seeing["Condition"]
    assert rules.policy_problems(policy)


@pytest.mark.parametrize("path", NOT_PROSE, ids=named)
def test_a_file_that_names_a_version_of_ray_names_the_pinned_one(path: Path) -> None:
    assert rules.versions_of_ray(path.read_text()) <= {pinned("ray")}


def test_the_kubernetes_files_name_the_version_of_ray() -> None:
    for path in RAY_FILES:
        assert rules.versions_of_ray(path.read_text()) == {pinned("ray")}
    assert rules.versions_of_ray('pip install "ray[default]==1.2.3"') == {"1.2.3"}
    assert rules.versions_of_ray("image: rayproject/ray:2.9.0-py311") == {"2.9.0"}
    assert set(RAY_FILES) < set(KUBERNETES_FILES)


def test_all_files_bring_the_same_python() -> None:
    found = {
        version
        for path in NOT_PROSE
        for version in re.findall(r"(?:--python |FROM python:)(3\.\d+)", path.read_text())
    }
    assert found == {"3.11"}
