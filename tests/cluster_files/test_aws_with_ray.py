"""Ray's own AWS provider carries out `cluster/aws.yaml` against moto's EC2, in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.client import BaseClient  # type: ignore[import-untyped]
from moto import mock_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import (
    TAG_RAY_LAUNCH_CONFIG,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

from tests.cluster_files.rules import as_list
from tests.cluster_files.shipped import CLUSTER, launcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Cloud:
    """What Ray did in it.

    Attributes:
        to_begin: What `ray up` asked of AWS before any machine.
        for_machines: What starting, tagging, seeing and ending machines asked of AWS.
        machines: Of each type of node, the machine, as EC2 describes it.
        rules: Who may reach the machines.
    """

    to_begin: set[str]
    for_machines: set[str]
    machines: dict[str, dict[str, Any]]
    rules: list[dict[str, Any]]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home: Path = tmp_path_factory.mktemp("home")
    asked: set[str] = set()
    call = BaseClient._make_api_call

    def listening(client: Any, operation: str, arguments: Any) -> Any:
        asked.add(f"{client.meta.service_model.service_name}:{operation}")
        return call(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("HOME", str(home))  # Ray writes the key for ssh there
        patch.setattr(BaseClient, "_make_api_call", listening)
        iam = boto3.client("iam")
        for name in ("ntm-ray-head", "ntm-ray-worker"):
            iam.create_instance_profile(InstanceProfileName=name)
        asked.clear()
        aws: Any = AWSNodeProvider
        config = aws.fillout_available_node_types_resources(
            prepare_config(launcher(CLUSTER / "aws.yaml"))
        )
        validate_config(config)
        config = aws.bootstrap_config(config)
        to_begin = asked.copy()
        asked.clear()

        provider = aws(config["provider"], config["cluster_name"])
        types = config["available_node_types"]
        for name, each in types.items():
            tags = {TAG_RAY_NODE_KIND: "worker", TAG_RAY_NODE_NAME: name}
            tags |= {TAG_RAY_USER_NODE_TYPE: name, TAG_RAY_LAUNCH_CONFIG: "x"}
            provider.create_node(each["node_config"], tags, 1)
        nodes = provider.non_terminated_nodes({})
        provider.set_node_tags(nodes[0], {TAG_RAY_NODE_STATUS: "up-to-date"})
        ec2 = boto3.client("ec2", region_name=config["provider"]["region"])
        for_machines = asked.copy()
        described = ec2.describe_instances(InstanceIds=nodes)["Reservations"]
        machines = [machine for each in described for machine in each["Instances"]]
        groups = {group["GroupId"] for each in machines for group in each["SecurityGroups"]}
        (group,) = ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
        asked.clear()
        provider.terminate_nodes(nodes)
        yield Cloud(
            to_begin,
            for_machines | asked,
            {tags_of(each)[TAG_RAY_USER_NODE_TYPE]: each for each in machines},
            group["IpPermissions"],
        )


def tags_of(machine: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in machine["Tags"]}


def allowed(policy: str) -> set[str]:
    """The actions that a policy of `cluster/aws-iam` allows."""
    statements = json.loads((CLUSTER / "aws-iam" / policy).read_text())["Statement"]
    return {action for each in statements for action in as_list(each["Action"])}


def test_machines_start_as_spot_with_the_roles_and_the_tag_of_the_policies(cloud: Cloud) -> None:
    assert sorted(cloud.machines) == ["cpu_spot", "gpu_spot", "head"]
    for name, machine in cloud.machines.items():
        assert machine.get("InstanceLifecycle") == (None if name == "head" else "spot")
        assert tags_of(machine)["ray-cluster-name"] == "ntm-ray"
        role = "ntm-ray-head" if name == "head" else "ntm-ray-worker"
        assert machine["IamInstanceProfile"]["Arn"].endswith(f"/{role}")


def test_only_ssh_is_open_to_others(cloud: Cloud) -> None:
    from_outside = [rule for rule in cloud.rules if rule["IpRanges"] or rule["Ipv6Ranges"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in from_outside] == [(22, 22)]


def test_the_policies_allow_what_ray_asks_for_and_no_more(cloud: Cloud) -> None:
    # EC2 asks for these on behalf of RunInstances; nobody calls them.
    behind = {"ssm:GetParameters", "iam:PassRole"}
    assert cloud.for_machines <= allowed("head.json")
    assert cloud.to_begin | cloud.for_machines == allowed("launcher.json") - behind
    # The types of instances are a question of `ray up`, and of a head that reads the file anew.
    assert allowed("head.json") - behind - cloud.for_machines == {"ec2:DescribeInstanceTypes"}
