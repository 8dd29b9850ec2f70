"""KubeRay's custom resources, as far as `cluster/kubernetes` uses them and a little beyond.

Written after the field reference of KubeRay 1.6 (`ray.io/v1`). The resource definitions themselves
are a megabyte each and no package ships them: `schema_of_definition` reads them from a folder that
has them, for the whole check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import yaml

if TYPE_CHECKING:
    from pathlib import Path

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer", "minimum": 0}
STRINGS: Schema = {"type": "object", "additionalProperties": STRING}
ANY_OBJECT: Schema = {"type": "object"}
POD_TEMPLATE: Schema = {
    "type": "object",
    "required": ["spec"],
    "additionalProperties": False,
    "properties": {
        "metadata": ANY_OBJECT,
        "spec": {
            "type": "object",
            "required": ["containers"],
            "properties": {"containers": {"type": "array", "minItems": 1}},
        },
    },
}


def closed(required: list[str], **properties: Schema) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": properties,
    }


def one_of(*values: str) -> Schema:
    """One of these words."""
    return {"enum": list(values)}


AUTOSCALER = closed(
    [],
    resources=ANY_OBJECT,
    image=STRING,
    imagePullPolicy=STRING,
    securityContext=ANY_OBJECT,
    idleTimeoutSeconds=INTEGER,
    upscalingMode=one_of("Default", "Aggressive", "Conservative"),
    version=one_of("v1", "v2"),
    env={"type": "array"},
    envFrom={"type": "array"},
    volumeMounts={"type": "array"},
)
HEAD_GROUP = closed(
    ["template"],
    template=POD_TEMPLATE,
    headService=ANY_OBJECT,
    enableIngress=BOOLEAN,
    resources=STRINGS,
    labels=STRINGS,
    rayStartParams=STRINGS,
    serviceType=one_of("ClusterIP", "NodePort", "LoadBalancer"),
)
WORKER_GROUP = closed(
    ["groupName", "minReplicas", "maxReplicas", "template"],
    suspend=BOOLEAN,
    groupName=STRING,
    replicas=INTEGER,
    minReplicas=INTEGER,
    maxReplicas=INTEGER,
    idleTimeoutSeconds=INTEGER,
    resources=STRINGS,
    labels=STRINGS,
    rayStartParams=STRINGS,
    template=POD_TEMPLATE,
    scaleStrategy=ANY_OBJECT,
    numOfHosts=INTEGER,
)
CLUSTER_SPEC = closed(
    ["headGroupSpec", "rayVersion"],  # the version because token authentication needs it
    upgradeStrategy=closed([], type=one_of("Recreate", "None")),
    authOptions=closed(
        [], mode=one_of("disabled", "token"), secretName=STRING, enableK8sTokenAuth=BOOLEAN
    ),
    suspend=BOOLEAN,
    managedBy=STRING,
    autoscalerOptions=AUTOSCALER,
    headServiceAnnotations=STRINGS,
    enableInTreeAutoscaling=BOOLEAN,
    gcsFaultToleranceOptions=ANY_OBJECT,
    headGroupSpec=HEAD_GROUP,
    rayVersion=STRING,
    workerGroupSpecs={"type": "array", "items": WORKER_GROUP},
)
JOB_SPEC = closed(
    ["entrypoint", "rayClusterSpec"],
    activeDeadlineSeconds=INTEGER,
    backoffLimit=INTEGER,
    rayClusterSpec=CLUSTER_SPEC,
    submitterPodTemplate=POD_TEMPLATE,
    metadata=STRINGS,
    clusterSelector=STRINGS,
    submitterConfig=closed([], backoffLimit=INTEGER),
    managedBy=STRING,
    deletionStrategy=ANY_OBJECT,
    entrypoint=STRING,
    runtimeEnvYAML=STRING,
    jobId=STRING,
    submissionMode=one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    entrypointResources=STRING,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    ttlSecondsAfterFinished=INTEGER,
    preRunningDeadlineSeconds={"type": "integer", "minimum": 1},
    shutdownAfterJobFinishes=BOOLEAN,
    suspend=BOOLEAN,
)


def custom_resource(kind: str, spec: Schema) -> Schema:
    """The whole object of one kind."""
    return closed(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata={"type": "object", "required": ["name"]},
        spec=spec,
    )


SCHEMAS = {
    "RayCluster": custom_resource("RayCluster", CLUSTER_SPEC),
    "RayJob": custom_resource("RayJob", JOB_SPEC),
}


def problems(content: Any, schema: Schema) -> list[str]:
    """Where an object is not as a schema says."""
    errors = jsonschema.Draft202012Validator(schema).iter_errors(content)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


def schema_of_definition(folder: Path, kind: str) -> Schema:
    """The schema in a folder of KubeRay's custom-resource definitions."""
    definition = yaml.safe_load((folder / f"ray.io_{kind.lower()}s.yaml").read_text())
    (version,) = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
    schema: Schema = strict(version["schema"]["openAPIV3Schema"])
    return schema


def strict(schema: Any) -> Any:
    """Kubernetes' dialect of a schema as JSON Schema, with unknown keys refused."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items()}
    if result.pop("x-kubernetes-int-or-string", False):
        result.pop("type", None)
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if result.pop("nullable", False) and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    free = result.pop("x-kubernetes-preserve-unknown-fields", False)
    # A key called `properties` may also be one that a schema describes.
    if isinstance(result.get("properties"), dict) and "type" in result and not free:
        result.setdefault("additionalProperties", False)
    return result
