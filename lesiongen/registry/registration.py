"""Registration: a generator and the classifier of its evaluation become versions of registered models."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lesiongen.errors import DataError
from lesiongen.registry.lineage import check_same_model, contamination
from lesiongen.registry.records import (
    CHALLENGER,
    CLASSIFIER_TAG,
    CONTAMINATION_TAG,
    EVALUATION_TAG,
    EVALUATION_VERSION_TAG,
    HistoryEvent,
    check_name,
    now,
    record,
    whoami,
)
from lesiongen.storage import open_storage
from lesiongen.tracking import StageRun, mlflow_client, service_errors, stage_run

__all__ = ["RegisteredVersion", "register"]

EVALUATION_FILE, MODEL_FILE, CLASSIFIER_FOLDER = "evaluation.json", "_model.json", "classifier"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of the generator in the registry, and that of the classifier that belongs to it."""

    name: str
    version: str
    model_uri: str
    evaluation_uri: str
    classifier_name: str | None
    classifier_version: str | None


def register(evaluation_uri: str, model_uri: str, name: str) -> RegisteredVersion:
    """Registers an evaluated generator as the challenger.

    The classifier of the evaluation is registered beside it as ``<name>-classifier``. The same evaluation of the same
    model is registered once: a repeated call returns the version that exists.

    Args:
        evaluation_uri: Folder or prefix with ``evaluation.json``.
        model_uri: Folder or prefix with ``_model.json``.
        name: Name of the registered model.

    Raises:
        StorageError: The evaluation or the model is not there.
        DataError: The evaluation is one of another model.
        ServiceError: The MLflow server does not answer.
    """
    check_name(name)
    tags = _generator_tags(evaluation_uri, model_uri)
    client = mlflow_client()
    params = {"name": name, "model": model_uri, "evaluation": evaluation_uri}
    with stage_run("register", params) as run:
        version = _existing(client, name, tags)
        if version is None:
            version = _create(client, run, name, model_uri, tags)
            classifier = _register_classifier(client, run, name, version, tags)
            with service_errors():
                client.set_model_version_tag(name, version, CLASSIFIER_TAG, classifier or "")
            record(client, name, HistoryEvent(now(), whoami(), "register", version))
        with service_errors():
            client.set_registered_model_alias(name, CHALLENGER, version)
            classifier = client.get_model_version(name, version).tags.get(CLASSIFIER_TAG) or None
        run.set_tags({"lesiongen.registered": f"{name} version {version}"})
    return RegisteredVersion(
        name, version, model_uri, evaluation_uri, f"{name}-classifier" if classifier else None, classifier
    )


def _generator_tags(evaluation_uri: str, model_uri: str) -> dict[str, str]:
    manifest, model_version = _read(model_uri, MODEL_FILE)
    evaluation, evaluation_version = _read(evaluation_uri, EVALUATION_FILE)
    check_same_model(evaluation, model_version)
    return {
        "lesiongen.model": model_uri,
        "lesiongen.model_version": model_version,
        "lesiongen.family": str(manifest.get("family")),
        "lesiongen.method": str(manifest.get("method")),
        "lesiongen.base": json.dumps(manifest.get("base")),
        "lesiongen.training_dataset": json.dumps((manifest.get("training") or {}).get("dataset")),
        CONTAMINATION_TAG: json.dumps(contamination(evaluation, manifest)),
        EVALUATION_TAG: evaluation_uri,
        EVALUATION_VERSION_TAG: evaluation_version,
        "image_manipulation": "synthetic",
    }


def _read(uri: str, key: str) -> tuple[dict[str, Any], str]:
    data = open_storage(uri).read_bytes(key)
    try:
        content = json.loads(data)
    except ValueError as error:
        raise DataError(f"{uri}/{key} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{uri}/{key} is not what a stage of LesionGen writes.")
    return content, hashlib.sha256(data).hexdigest()


def _existing(client: Any, name: str, tags: dict[str, str]) -> str | None:
    same = ("lesiongen.model", "lesiongen.model_version", EVALUATION_TAG, EVALUATION_VERSION_TAG)
    with service_errors():
        for found in client.search_model_versions(f"name='{name}'"):
            # A version without the classifier's tag is one whose registration did not end.
            if CLASSIFIER_TAG in found.tags and all(found.tags.get(key) == tags[key] for key in same):
                return str(found.version)
    return None


def _register_classifier(client: Any, run: StageRun, name: str, version: str, tags: dict[str, str]) -> str | None:
    uri = f"{tags[EVALUATION_TAG].rstrip('/')}/{CLASSIFIER_FOLDER}"
    if next(open_storage(uri).list(), None) is None:
        return None
    kept = {key: tags[key] for key in (EVALUATION_TAG, EVALUATION_VERSION_TAG)}
    return _create(client, run, f"{name}-classifier", uri, {**kept, "lesiongen.generator": f"{name} version {version}"})


def _create(client: Any, run: StageRun, name: str, uri: str, tags: dict[str, str]) -> str:
    from mlflow.exceptions import MlflowException

    with service_errors():
        with suppress(MlflowException):  # it exists; anything else that is wrong shows in the next call
            client.create_registered_model(name)
        source = uri if "://" in uri else _source_of_folder(run, name, uri)
        created = client.create_model_version(name, source, run.run_id, tags=tags, await_creation_for=0)
    return str(created.version)


def _source_of_folder(run: StageRun, name: str, folder: str) -> str:
    # The server takes no local path as a source, rightly: it may be another machine. The run keeps the address.
    run.log_json({"uri": folder}, f"{name}/reference.json")
    return f"runs:/{run.run_id}/{name}"
