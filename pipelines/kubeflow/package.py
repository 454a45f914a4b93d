"""A compiled pipeline as a file: what it is called, what it takes, which steps it has."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from lesiongen import __version__
from lesiongen.config import parse_config
from lesiongen.errors import UsageError
from lesiongen.storage import json_digest
from pipelines import PIPELINES
from pipelines.checks import check_arguments
from pipelines.definition import find_pipeline

__all__ = ["Package", "check_parameters", "spec_of", "with_changes"]

_DIGITS = 12
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one where libyaml is there: a package has thousands of lines."""
_TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "STRING": ("a text", (str,)),
    "NUMBER_INTEGER": ("a whole number", (int,)),
    "NUMBER_DOUBLE": ("a number", (int, float)),
    "BOOLEAN": ("true or false", (bool,)),
    "LIST": ("a list", (list,)),
    "STRUCT": ("a mapping", (dict,)),
}
"""What a parameter of each type must be, in words and in Python's types."""
_WRONG = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What reading a file raises that is YAML, and not a package."""


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
        path: The YAML file.
        spec: Its pipeline specification.
        digest: Digest of all that the file says, whatever its layout.
    """

    path: Path
    spec: dict[str, Any]
    digest: str

    @classmethod
    def read(cls, path: Path) -> "Package":
        """Reads a package.

        Raises:
            UsageError: The file cannot be read, or is not a package of Kubeflow Pipelines.
        """
        try:
            loaded = yaml.load_all(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe one
            documents = [each for each in loaded if each is not None]
            spec = documents[0]
            json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
            for platform in documents[1:]:
                json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
            if not spec["pipelineInfo"]["name"] or not spec["root"]:
                raise ValueError("it has no name or no root")
        except OSError as error:
            raise UsageError(f"The package {path} cannot be read: {error.strerror}") from error
        except (*_WRONG, yaml.YAMLError, json_format.Error) as error:
            reason = " ".join(str(error).split())[:300]
            raise UsageError(
                f"{path} is not a package of Kubeflow Pipelines: {reason}",
                hint="`lesiongen pipeline compile` writes one.",
            ) from error
        return cls(path, spec, json_digest(documents))

    @property
    def name(self) -> str:
        """The pipeline's name in Kubeflow."""
        return str(self.spec["pipelineInfo"]["name"])

    @property
    def version_name(self) -> str:
        """Name of the pipeline version that holds this package; another package has another."""
        # A Kubernetes name: servers may keep versions as objects of the cluster.
        plain = re.sub("[^a-z0-9.-]+", "-", f"{self.name}-{__version__}".lower())
        return f"{plain}-{self.digest[:_DIGITS]}"

    @property
    def inputs(self) -> dict[str, dict[str, Any]]:
        """The definitions of its parameters, by name."""
        found: dict[str, dict[str, Any]] = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        return found

    @property
    def images(self) -> set[str]:
        """The images that its steps run in."""
        executors = self.spec.get("deploymentSpec", {}).get("executors", {}).values()
        return {each["container"]["image"] for each in executors if "container" in each}

    def arguments(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the steps get: the parameters of a run, and the defaults of the others."""
        defaults = {name: one["defaultValue"] for name, one in self.inputs.items() if "defaultValue" in one}
        return {**defaults, **parameters}


def with_changes(package: Package, parameters: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a run with some changed; of a mapping, only the fields that are named.

    Args:
        package: The package, whose default a mapping has that the parameters lack.
        parameters: The parameters.
        changes: Other values, nested.
    """
    before = package.arguments(parameters)
    return {**parameters, **{name: _changed(before.get(name), value) for name, value in changes.items()}}


def _changed(before: Any, value: Any) -> Any:
    if not isinstance(before, dict) or not isinstance(value, dict):
        return value
    return {**before, **{name: _changed(before.get(name), each) for name, each in value.items()}}


def check_parameters(package: Package, parameters: Mapping[str, Any]) -> None:
    """Checks the parameters of a run against the package, and the configurations in them as the steps will.

    Raises:
        UsageError: A parameter is unknown, missing, null or of the wrong type, or a configuration is refused.
    """
    for name, value in parameters.items():
        if name not in package.inputs:
            near = get_close_matches(name, package.inputs, n=1)
            raise UsageError(
                f"{package.name}: unknown parameter {name}",
                hint=f"{f'Did you mean {near[0]}? ' if near else ''}Parameters: {', '.join(sorted(package.inputs))}.",
            )
        _check_type(name, value, package.inputs[name]["parameterType"])
    _refuse_missing(package, parameters)
    pipeline = package.name.removeprefix("lesiongen-")
    if package.name != pipeline and pipeline in PIPELINES:
        _check_stages(pipeline, package.arguments(parameters))


def _refuse_missing(package: Package, parameters: Mapping[str, Any]) -> None:
    missing = [
        name
        for name, definition in package.inputs.items()
        if name not in parameters and "defaultValue" not in definition and not definition.get("isOptional")
    ]
    if missing:
        several = "s" if len(missing) > 1 else ""
        raise UsageError(
            f"{package.name}: missing parameter{several} {', '.join(missing)}",
            hint=f"Use {' '.join(f'--set {name}=…' for name in missing)}, or --parameters.",
        )


def _check_type(name: str, value: Any, kind: str) -> None:
    _refuse_nulls(name, value)
    if kind not in _TYPES:
        return
    words, types = _TYPES[kind]
    right = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if not right or (isinstance(value, float) and not math.isfinite(value)):
        raise UsageError(f"The parameter {name} = {value!r} must be {words}.")


def _refuse_nulls(place: str, value: Any) -> None:
    if value is None:
        raise UsageError(f"{place} is null.", hint="Kubeflow Pipelines carries no null; leave it out.")
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        _refuse_nulls(f"{place}.{key}", each)


def _check_stages(pipeline: str, arguments: dict[str, Any]) -> None:
    for number, one in enumerate(arguments.get("collections", ())):
        for field in ("dataset", "format", "source", "source_revision"):
            if not isinstance(one, dict) or not isinstance(one.get(field), str):
                raise UsageError(
                    f"collections.{number}: {field} is missing, or not a text.",
                    hint="A collection has dataset, format, source and source_revision, which may be empty.",
                )
    kind = find_pipeline(pipeline).request
    given = {name: arguments[name] for name in kind.model_fields if name in arguments}
    request = parse_config(kind, given, pipeline)
    for place in request.sources():
        if "://" not in place:
            how = "Copy it with `lesiongen copy`" if place in request.existing() else "Upload it"
            raise UsageError(
                f"{pipeline}: {place} is on this machine, and the cluster cannot read it.",
                hint=f"{how} to S3, and give its s3:// address.",
            )
    check_arguments(arguments, in_containers=True)


def spec_of(document: Any) -> dict[str, Any]:
    """Returns the pipeline specification in what a server keeps of a package: alone, or beside that of the platform."""
    if not isinstance(document, dict):
        return {}
    return document.get("pipeline_spec") or (document if "root" in document else {})
