"""Registration: a generator and the classifier of its evaluation become versions of registered models."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel

from lesiongen.errors import UsageError
from lesiongen.mlflow_server import mlflow_client, service_errors
from lesiongen.model_ancestry import Ancestor
from lesiongen.records.evaluation import read_evaluation
from lesiongen.records.history import FINISHED, STARTED, HistoryEvent
from lesiongen.records.model import MODEL_NAME, REFERENCE_NAME, read_model
from lesiongen.registry.card import CARD_FOLDER, card_of_version
from lesiongen.registry.champion import (
    BEGUN,
    COMPLETE,
    REGISTRATION_TAG,
    Registered,
    is_complete,
    registered,
    settle,
)
from lesiongen.registry.classifiers import model_for_classifiers
from lesiongen.registry.documents import EVALUATION_FILE
from lesiongen.registry.lease import Lease, lease
from lesiongen.registry.lineage import check_same_model, contamination
from lesiongen.registry.mlflow_model import REFERENCE_PLACE, reference_text, write_generator
from lesiongen.registry.tags import (
    CARD_TAG,
    CHALLENGER,
    CLASSIFIER_NAME_TAG,
    CLASSIFIER_TAG,
    CONTAMINATION_TAG,
    EVALUATION_TAG,
    EVALUATION_VERSION_TAG,
    MODEL_TAG,
    MODEL_VERSION_TAG,
    check_name,
    found,
    history,
    now,
    whoami,
    write_event,
)
from lesiongen.storage import open_storage
from lesiongen.temporary import temporary_folder
from lesiongen.tracking import StageRun, stage_run

__all__ = ["RegisteredVersion", "register"]

logger = logging.getLogger(__name__)
CLASSIFIER_FOLDER = "classifier"


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

    The classifier of the evaluation is registered beside it as ``<name>-classifier``, or under the name that the
    classifiers of earlier versions have, where the generator was renamed in MLflow. The same evaluation of the same
    model, by the digests of both, is registered once: a repeated call returns the version that exists, and completes
    one whose registration did not end.

    Args:
        evaluation_uri: Folder or prefix with ``evaluation.json``.
        model_uri: Folder or prefix with ``_model.json``.
        name: Name of the registered model.

    The model card is logged with the run, and the tag ``lesiongen.card`` of the version names it.

    Raises:
        StorageError: The evaluation or the model is not there.
        DataError: The evaluation is one of another model.
        ServiceError: The MLflow server does not answer, or another command is at work.
    """
    check_name(name)
    tags = _generator_tags(evaluation_uri, model_uri)
    client = mlflow_client()
    params = {"name": name, "model": model_uri, "evaluation": evaluation_uri}
    with stage_run("register", params) as run:
        _ensure_model(client, name)
        with lease(client, name, "register") as held:
            events = settle(held)
            version = _complete_version(held, tags) or _register(held, run, tags, events)
            _follow_address(held, version, tags)
            with service_errors():
                client.set_registered_model_alias(name, CHALLENGER, version.version)
                client.set_model_version_tag(name, version.version, REGISTRATION_TAG, COMPLETE)
        _write_card(client, run, name, version.version)
        run.set_tags({"lesiongen.registered": f"{name} version {version.version}"})
    return RegisteredVersion(
        name, version.version, model_uri, evaluation_uri, version.classifier_name, version.classifier
    )


def _write_card(client: Any, run: StageRun, name: str, version: str) -> None:
    """Logs the model card with the run; a tag of the version says where."""
    with service_errors():
        entity = client.get_model_version(name, version)
    card_of_version(entity, history(name)).log(run)
    with service_errors():
        client.set_model_version_tag(name, version, CARD_TAG, f"runs:/{run.run_id}/{CARD_FOLDER}")


def _generator_tags(evaluation_uri: str, model_uri: str) -> dict[str, str]:
    storage = open_storage(model_uri)
    manifest = storage.read_bytes(MODEL_NAME)
    document = open_storage(evaluation_uri).read_bytes(EVALUATION_FILE)
    model = read_model(manifest, f"{model_uri}/{MODEL_NAME}")
    evaluation = read_evaluation(document, f"{evaluation_uri}/{EVALUATION_FILE}")
    model_version, evaluation_version = (hashlib.sha256(content).hexdigest() for content in (manifest, document))
    check_same_model(evaluation, model_version)
    seen = contamination(evaluation, Ancestor(model, storage))
    return {
        MODEL_TAG: model_uri,
        MODEL_VERSION_TAG: model_version,
        "lesiongen.family": model.family,
        "lesiongen.method": model.method,
        "lesiongen.base": _json(model.base),
        "lesiongen.training_dataset": _json(model.training.dataset),
        CONTAMINATION_TAG: _json(seen),
        EVALUATION_TAG: evaluation_uri,
        EVALUATION_VERSION_TAG: evaluation_version,
        "image_manipulation": "synthetic",
    }


def _json(record: BaseModel | None) -> str:
    return "null" if record is None else json.dumps(record.model_dump(mode="json"))


def _versions(client: Any, name: str, key: Mapping[str, str]) -> list[Any]:
    """Returns the versions that carry these tags, oldest first."""
    query = " and ".join([f"name='{name}'", *(f"tags.`{tag}` = '{value}'" for tag, value in key.items())])
    with service_errors():
        return sorted(client.search_model_versions(query), key=lambda found: int(found.version))


def _key(tags: Mapping[str, str]) -> dict[str, str]:
    return {tag: tags[tag] for tag in (MODEL_VERSION_TAG, EVALUATION_VERSION_TAG)}


def _complete_version(held: Lease, tags: Mapping[str, str]) -> Registered | None:
    """Returns the version of the same model and evaluation whose registration has ended, None if there is none."""
    for version in _versions(held.client, held.name, _key(tags)):
        if is_complete(version.tags):
            with suppress(UsageError):  # its classifier was deleted: it is to be registered again
                return registered(held.client, held.name, version.version)
    return None


def _register(held: Lease, run: StageRun, tags: dict[str, str], events: Sequence[HistoryEvent]) -> Registered:
    """Registers a version, or continues one whose registration did not end; every step can be repeated."""
    client, name = held.client, held.name
    held.confirm()
    held.changed = True
    source = partial(_source_of_generator, run, name, tags)
    created = _one_version(held, run, name, source, _key(tags), {**tags, REGISTRATION_TAG: BEGUN})
    version = str(created.version)
    event = _register_event(held, version, events)
    write_event(client, name, event.changed(state=STARTED))
    model = model_for_classifiers(client, name)
    classifier = _register_classifier(held, run, version, model, tags)
    with service_errors():
        client.set_model_version_tag(name, version, CLASSIFIER_NAME_TAG, model)
        client.set_model_version_tag(name, version, CLASSIFIER_TAG, classifier or "")
    held.confirm()
    write_event(client, name, event.changed(state=FINISHED))
    return Registered(version, classifier, created.tags, model if classifier else None)


def _one_version(
    held: Lease, run: StageRun, name: str, source: Callable[[], str], key: Mapping[str, str], tags: Mapping[str, str]
) -> Any:
    """Returns the one version that carries a key, created if it does not exist."""
    client = held.client
    if not (versions := _versions(client, name, key)):
        address = source()
        held.confirm()
        with service_errors():
            client.create_model_version(name, address, run.run_id, tags=dict(tags), await_creation_for=0)
        # MLflow's client repeats a request whose answer was lost: there may be two now.
        versions = _versions(client, name, key)
    kept, *others = sorted(versions, key=lambda version: not is_complete(version.tags))
    for other in others:
        if not is_complete(other.tags):
            found(partial(client.delete_model_version, name, other.version))
    return kept


def _register_event(held: Lease, version: str, events: Sequence[HistoryEvent]) -> HistoryEvent:
    event = next((event for event in events if (event.action, event.version) == ("register", version)), None)
    if event is None:
        return HistoryEvent(when=now(), who=whoami(), action="register", version=version, number=held.number)
    if event.state == STARTED:
        logger.warning(
            "%s: completing the registration of version %s, which %s began at %s and did not end.",
            *(held.name, version, event.who, event.when),
        )
        return event.changed(repaired_by=whoami())
    return event


def _register_classifier(held: Lease, run: StageRun, version: str, name: str, tags: Mapping[str, str]) -> str | None:
    uri = f"{tags[EVALUATION_TAG].rstrip('/')}/{CLASSIFIER_FOLDER}"
    if next(open_storage(uri).list(), None) is None:
        return None
    _ensure_model(held.client, name)
    key = {
        EVALUATION_VERSION_TAG: tags[EVALUATION_VERSION_TAG],
        "lesiongen.generator": f"{held.name} version {version}",
    }
    source = partial(_source_of_classifier, run, name, uri)
    created = _one_version(held, run, name, source, key, {**key, EVALUATION_TAG: tags[EVALUATION_TAG]})
    return str(created.version)


def _follow_address(held: Lease, version: Registered, tags: Mapping[str, str]) -> None:
    """Makes a version name the addresses given now, where the same content was registered from others before."""
    moved = {tag: tags[tag] for tag in (MODEL_TAG, EVALUATION_TAG) if version.tags.get(tag) != tags[tag]}
    with service_errors():
        for tag, address in moved.items():
            held.client.set_model_version_tag(held.name, version.version, tag, address)
    if MODEL_TAG in moved:
        _name_address(held, version.version, tags)
    if moved:
        logger.info("%s version %s: the addresses were updated; the content is the same.", held.name, version.version)


def _name_address(held: Lease, version: str, tags: Mapping[str, str]) -> None:
    """Makes the MLflow model of a version, where it is one, name the generator's address of now."""
    with service_errors():
        entity = held.client.get_model_version(held.name, version)
        if entity.source.startswith("runs:/"):
            place = entity.source.removeprefix(f"runs:/{entity.run_id}/")
            text = reference_text(tags[MODEL_TAG], tags[MODEL_VERSION_TAG])
            held.client.log_text(entity.run_id, text, f"{place}/{REFERENCE_PLACE}")


def _ensure_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    with service_errors():
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _source_of_generator(run: StageRun, name: str, tags: Mapping[str, str]) -> str:
    """Logs the generator as an MLflow model, and returns where in the run it is."""
    uri = tags[MODEL_TAG]
    manifest = read_model(open_storage(uri).read_bytes(MODEL_NAME), f"{uri}/{MODEL_NAME}")
    with temporary_folder("registered") as folder:
        write_generator(folder / "model", uri, tags[MODEL_VERSION_TAG], manifest)
        run.log_folder(folder / "model", name)
    return f"runs:/{run.run_id}/{name}"


def _source_of_classifier(run: StageRun, name: str, uri: str) -> str:
    if "://" in uri:
        return uri
    # The server takes no local path as a source, rightly: it may be another machine. The run keeps the address.
    run.log_json({"uri": uri}, f"{name}/{REFERENCE_NAME}")
    return f"runs:/{run.run_id}/{name}"
