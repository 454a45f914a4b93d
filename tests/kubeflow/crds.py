"""Kubeflow Trainer's custom resource definitions as JSON Schemas, and their rules that concern this project."""

import functools
import re
from pathlib import Path

import yaml

FOLDER = Path(__file__).parents[3] / "shared" / "crds"
PLURALS = {"TrainJob": "trainjobs", "TrainingRuntime": "trainingruntimes"}
RESERVED = {"PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"}


def available() -> bool:
    """Whether the definitions are beside the project."""
    return FOLDER.is_dir()


def faults(document: dict) -> list[str]:
    """Returns what an API server would refuse in an object."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(_schema(document["kind"]))
    found = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
    return found + _broken_rules(document)


@functools.cache
def _schema(kind: str) -> dict:
    text = (FOLDER / f"trainer.kubeflow.org_{PLURALS[kind]}.yaml").read_text()
    return _as_json_schema(yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def _as_json_schema(node: dict) -> dict:
    """Refuses unknown fields, as `kubectl apply` does, and knows what OpenAPI has beside JSON Schema."""
    kept = {key: value for key, value in node.items() if not key.startswith("x-") and key not in ("format", "default")}
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "properties" in kept:
        kept["properties"] = {key: _as_json_schema(value) for key, value in kept["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(kept.get(name), dict):
            kept[name] = _as_json_schema(kept[name])
    closed = "properties" in kept and not node.get("x-kubernetes-preserve-unknown-fields")
    if closed and "additionalProperties" not in kept:
        kept["additionalProperties"] = False
    if node.get("nullable"):
        return {"anyOf": [kept, {"type": "null"}]}
    return kept


def _broken_rules(document: dict) -> list[str]:
    """The rules in CEL, and those of the webhook, that an object of this project could break."""
    name, spec, broken = document["metadata"].get("name", ""), document["spec"], []
    if document["kind"] == "TrainJob":
        if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > 63:
            broken.append("metadata.name must be an RFC 1035 label of at most 63 characters")
        trainer = spec.get("trainer", {})
        if trainer.get("numProcPerNode", 1) < 1:
            broken.append("numProcPerNode must be greater than or equal to 1")
        if reserved := {each["name"] for each in trainer.get("env", [])} & RESERVED:
            broken.append(f"spec.trainer.env must not have reserved envs: {sorted(reserved)}")
    else:
        policy = spec["mlPolicy"]
        if sum(each in policy for each in ("torch", "mpi", "jax", "xgboost", "flux")) > 1:
            broken.append("Only one of the policy can be configured")
        jobs = spec["template"]["spec"]
        if "startupPolicy" in jobs and any("dependsOn" in each for each in jobs["replicatedJobs"]):
            broken.append("StartupPolicy and DependsOn APIs are mutually exclusive")
    return broken
