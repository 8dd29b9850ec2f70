"""The files of Ray's cluster launcher: valid to Ray and to the cloud, and cheap when idle."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import botocore.session  # type: ignore[import-untyped]
import pytest
from botocore.validate import ParamValidator  # type: ignore[import-untyped]
from jsonschema import ValidationError  # type: ignore[import-untyped]
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster_files.shipped import LAUNCHER_FILES, ROOT, launcher, launcher_commands, named

if TYPE_CHECKING:
    from pathlib import Path

CLOUD_FILES = [path for path in LAUNCHER_FILES if path.stem != "on-premises"]
(AWS,) = [path for path in LAUNCHER_FILES if path.stem == "aws"]


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=named)
def test_ray_accepts_the_file(path: Path) -> None:
    validate_config(prepare_config(launcher(path)))


@pytest.mark.parametrize("where", ["top", "provider", "auth", "node"])
@pytest.mark.parametrize("path", CLOUD_FILES, ids=named)
def test_ray_refuses_a_key_that_is_not_there(path: Path, where: str) -> None:
    config = launcher(path)
    node = config["available_node_types"]["cpu_spot"]
    place = {"top": config, "provider": config["provider"], "auth": config["auth"], "node": node}
    if where == "provider":
        config["provider"]["security_group"] = {"GroupNam": "x"}  # others of it may be anything
    else:
        place[where]["misspelt"] = 1
    with pytest.raises(ValidationError, match=r"GroupNam|misspelt"):
        validate_config(prepare_config(config))


def spot(node_config: dict[str, Any]) -> bool:
    """Whether a machine is one that the cloud may take away, for a smaller price."""
    aws = node_config.get("InstanceMarketOptions", {}).get("MarketType")
    gcp = node_config.get("scheduling", {}).get("provisioningModel")
    return bool(aws == "spot" or gcp == "SPOT")


@pytest.mark.parametrize("path", CLOUD_FILES, ids=named)
def test_workers_are_spot_machines_of_two_groups_and_the_head_is_not(path: Path) -> None:
    config = launcher(path)
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert not spot(head["node_config"])
    assert all(spot(each["node_config"]) for each in types.values())
    with_gpus = {name: each["resources"].get("GPU", 0) > 0 for name, each in types.items()}
    assert sorted(with_gpus.values()) == [False, True]


@pytest.mark.parametrize("path", CLOUD_FILES, ids=named)
def test_trials_run_on_workers_only(path: Path) -> None:
    config = prepare_config(launcher(path))
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"] == {"CPU": 0}
    assert all(each["resources"]["CPU"] > 0 for each in types.values())
    # A trial that asks for memory waits forever for a group that says nothing of it.
    assert all(each["resources"]["memory"] > 2**30 for each in types.values())


@pytest.mark.parametrize("path", CLOUD_FILES, ids=named)
def test_nothing_is_left_running_when_there_is_nothing_to_do(path: Path) -> None:
    config = launcher(path)
    assert config["idle_timeout_minutes"] <= 10
    types = config["available_node_types"]
    workers = {name: types[name] for name in types if name != config["head_node_type"]}
    assert all(each["min_workers"] == 0 for each in workers.values())
    for role in ("head", "worker"):
        commands = "\n".join(config[f"{role}_start_ray_commands"])
        assert f"stop-when-idle.sh {role} " in commands
    if path == AWS:
        assert config["provider"]["cache_stopped_nodes"] is False
        behaviour = "InstanceInitiatedShutdownBehavior"
        assert all(each["node_config"][behaviour] == "terminate" for each in types.values())


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=named)
def test_what_is_copied_to_the_machines_is_in_the_repository(path: Path) -> None:
    mounts = launcher(path)["file_mounts"]
    assert mounts.pop("~/.ray/auth_token") == "~/.ray/auth_token"
    assert all((ROOT / local).exists() for local in mounts.values())
    # What the build reads.
    build = {"pyproject.toml", "README.md", "LICENSE", "ntm_ray", "search_spaces"}
    assert build <= set(mounts.values())
    assert all(remote.endswith(local.split("/")[-1]) for remote, local in mounts.items())


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=named)
def test_packages_are_the_pinned_ones(path: Path) -> None:
    installs = [each for each in launcher_commands(launcher(path)) if "uv pip install" in each]
    assert len(installs) == 1
    assert "--constraint ~/ntm-ray/constraints.txt ~/ntm-ray[cluster]" in installs[0]


def problems_to_ec2(node_config: dict[str, Any]) -> str:
    """What EC2's own description of RunInstances finds wrong, as botocore has it."""
    model = botocore.session.get_session().get_service_model("ec2")
    shape = model.operation_model("RunInstances").input_shape
    report: str = (
        ParamValidator()
        .validate(node_config | {"MinCount": 1, "MaxCount": 1}, shape)
        .generate_report()
    )
    return report


def test_ec2_knows_every_setting_of_the_machines() -> None:
    for name, each in launcher(AWS)["available_node_types"].items():
        assert problems_to_ec2(each["node_config"]) == "", name


@pytest.mark.parametrize(
    ("key", "value"),
    [("InstanceTyp", "m7i.large"), ("IamInstanceProfile", "head"), ("MetadataOptions", {"x": 1})],
)
def test_a_setting_that_ec2_does_not_know_is_refused(key: str, value: object) -> None:
    node_config = copy.deepcopy(launcher(AWS)["available_node_types"]["head"]["node_config"])
    assert problems_to_ec2(node_config | {key: value})


def test_machines_have_roles_of_this_project_and_guarded_metadata() -> None:
    for name, each in launcher(AWS)["available_node_types"].items():
        role = "ntm-ray-head" if name == "head" else "ntm-ray-worker"
        # Without a profile Ray makes one that may do everything in EC2 and S3.
        assert each["node_config"]["IamInstanceProfile"] == {"Name": role}
        assert each["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert all(d["Ebs"]["Encrypted"] for d in each["node_config"]["BlockDeviceMappings"])
