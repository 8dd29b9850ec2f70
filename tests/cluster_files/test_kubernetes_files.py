"""The files for Kubernetes: valid to KubeRay and Kubernetes, and gone with nothing to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster_files.kuberay_schema import SCHEMAS, problems, schema_of_definition
from tests.cluster_files.shipped import (
    CLUSTER,
    KUBERNETES_FILES,
    RAY_FILES,
    documents,
    named,
    pod_specs,
)

if TYPE_CHECKING:
    from types import ModuleType

CRDS = os.environ.get("NTM_RAY_KUBERAY_CRDS")
CLUSTER_FILE, JOB_FILE = RAY_FILES


def only(path: Path) -> dict[str, Any]:
    """The one object of a file."""
    (content,) = documents(path)
    return content


@pytest.mark.parametrize("path", RAY_FILES, ids=named)
def test_the_file_is_as_kuberay_documents_it(path: Path) -> None:
    content = only(path)
    assert problems(content, SCHEMAS[content["kind"]]) == []


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ((), "spek", {}),
        (("spec",), "entrypont", "x"),
        (("spec",), "backoffLimit", "3"),
        (("spec",), "submissionMode", "Pod"),
        (("spec", "rayClusterSpec"), "rayVersion", 2.6),
        (("spec", "rayClusterSpec", "authOptions"), "mode", "on"),
        (("spec", "rayClusterSpec", "autoscalerOptions"), "idleTimeout", 60),
        (("spec", "rayClusterSpec", "headGroupSpec"), "rayStartParams", {"num-cpus": 0}),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0), "minReplica", 0),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0), "maxReplicas", "8"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec"), "containers", []),
    ],
)
def test_what_kuberay_does_not_know_is_refused(
    where: tuple[str | int, ...], key: str, value: object
) -> None:
    content = only(JOB_FILE)
    place: Any = content
    for step in where:
        place = place[step]
    place[key] = value
    assert problems(content, SCHEMAS["RayJob"])


@pytest.mark.parametrize("key", ["entrypoint", "rayClusterSpec"])
def test_what_is_missing_is_found(key: str) -> None:
    content = only(JOB_FILE)
    del content["spec"][key]
    assert problems(content, SCHEMAS["RayJob"])


@pytest.mark.skipif(
    CRDS is None,
    reason="NTM_RAY_KUBERAY_CRDS names no folder: KubeRay's helm-chart/kuberay-operator/crds",
)
@pytest.mark.parametrize("path", RAY_FILES, ids=named)
def test_the_file_is_valid_to_the_custom_resource_definition(path: Path) -> None:
    content = only(path)
    schema = schema_of_definition(Path(str(CRDS)), content["kind"])
    assert problems(content, schema) == []
    content["spec"]["misspelt"] = 1
    assert problems(content, schema)


def test_the_check_with_a_definition_knows_kubernetes_dialect(tmp_path: Path) -> None:
    spec = {
        "type": "object",
        "properties": {
            "port": {"x-kubernetes-int-or-string": True},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "when": {"type": "string", "nullable": True},
        },
    }
    whole = {"type": "object", "properties": {"metadata": {"type": "object"}, "spec": spec}}
    version = {"name": "v1", "schema": {"openAPIV3Schema": whole}}
    definition = tmp_path / "ray.io_rayclusters.yaml"
    definition.write_text(yaml.safe_dump({"spec": {"versions": [version]}}))
    schema = schema_of_definition(tmp_path, "RayCluster")
    good = {"port": "http", "free": {"x": 1}, "labels": {"a": "b"}, "when": None}
    assert problems({"metadata": {"name": "x"}, "spec": good}, schema) == []
    for bad in ({"port": 1.5}, {"prot": 1}, {"labels": {"a": 1}}, {"when": 1}):
        assert problems({"metadata": {"name": "x"}, "spec": bad}, schema)


@pytest.fixture(scope="module")
def kubernetes() -> ModuleType:
    module: ModuleType = pytest.importorskip(
        "kubernetes_validate", reason="the package kubernetes-validate has Kubernetes' own schemas"
    )
    return module


def as_objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that Kubernetes itself knows; of a custom resource, its pods."""
    found = []
    for content in documents(path):
        if content["apiVersion"] == "ray.io/v1":
            found += [
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
                for spec in pod_specs(content)
            ]
        else:
            found.append(content)
    return found


@pytest.mark.parametrize("path", KUBERNETES_FILES, ids=named)
def test_pods_and_other_objects_are_valid(path: Path, kubernetes: ModuleType) -> None:
    contents = as_objects(path)
    assert len(contents) >= 2
    for content in contents:
        kubernetes.validate(content, "1.33", strict=True)
        content["spec" if "spec" in content else "metadata"]["misspelt"] = 1
        with pytest.raises(kubernetes.ValidationError, match="misspelt"):
            kubernetes.validate(content, "1.33", strict=True)


def test_both_files_describe_the_same_cluster() -> None:
    assert only(JOB_FILE)["spec"]["rayClusterSpec"] == only(CLUSTER_FILE)["spec"]


def test_nothing_is_left_running_when_there_is_nothing_to_do() -> None:
    job = only(JOB_FILE)["spec"]
    assert job["shutdownAfterJobFinishes"] is True
    assert job["ttlSecondsAfterFinished"] <= 600
    cluster = job["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert 0 < cluster["autoscalerOptions"]["idleTimeoutSeconds"] <= 600
    assert all(group["minReplicas"] == 0 for group in cluster["workerGroupSpecs"])


def test_trials_run_on_workers_that_may_be_spot_machines_and_the_head_may_not() -> None:
    cluster = only(CLUSTER_FILE)["spec"]
    head = cluster["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    (term,) = head["template"]["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    labels_of_spot = {each["key"] for each in term["matchExpressions"]}
    with_gpu = []
    for group in cluster["workerGroupSpecs"]:
        spec = group["template"]["spec"]
        preferred = spec["affinity"]["nodeAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"
        ]
        keys = {each["preference"]["matchExpressions"][0]["key"] for each in preferred}
        assert keys == labels_of_spot
        tolerated = {each["key"] for each in spec["tolerations"]}
        assert "cloud.google.com/gke-spot" in tolerated
        gpus = spec["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
        assert ("nvidia.com/gpu" in tolerated) == bool(gpus)
        with_gpu.append(bool(gpus))
    assert sorted(with_gpu) == [False, True]


def test_the_storage_comes_from_a_config_map_and_the_right_to_it_from_an_account() -> None:
    cluster = only(CLUSTER_FILE)["spec"]
    accounts = {
        each["metadata"]["name"]
        for each in documents(CLUSTER / "kubernetes" / "access.yaml")
        if each["kind"] == "ServiceAccount"
    }
    assert {spec["serviceAccountName"] for spec in pod_specs(cluster)} == accounts
    head = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]
    sources = {each["name"]: each.get("valueFrom") for each in head["env"]}
    assert "configMapKeyRef" in sources["NTM_RAY_STORAGE"]
