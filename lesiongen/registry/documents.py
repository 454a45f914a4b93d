"""The documents that a registered version names: they must be those that were registered."""

import hashlib
import json
from collections.abc import Mapping

from lesiongen.errors import DataError
from lesiongen.records.evaluation import EvaluationRecord, read_evaluation
from lesiongen.records.image_measures import Contamination
from lesiongen.records.model import MODEL_NAME, ModelManifest, read_model
from lesiongen.registry.tags import (
    CONTAMINATION_TAG,
    EVALUATION_TAG,
    EVALUATION_VERSION_TAG,
    MODEL_TAG,
    MODEL_VERSION_TAG,
)
from lesiongen.storage import open_storage

__all__ = ["EVALUATION_FILE", "contamination_of", "evaluation_of", "model_of"]

EVALUATION_FILE = "evaluation.json"


def evaluation_of(tags: Mapping[str, str]) -> EvaluationRecord:
    """Returns the evaluation that a version, of which these are the tags, was registered with.

    Raises:
        DataError: It is not the one that was registered, or there is none.
        StorageError: It is no longer there.
    """
    data, name = _registered(tags, EVALUATION_TAG, EVALUATION_VERSION_TAG, EVALUATION_FILE)
    return read_evaluation(data, name)


def model_of(tags: Mapping[str, str]) -> ModelManifest:
    """Returns the manifest of the generator that a version is.

    Raises:
        DataError: It is not the one that was registered.
        StorageError: It is no longer there.
    """
    data, name = _registered(tags, MODEL_TAG, MODEL_VERSION_TAG, MODEL_NAME)
    return read_model(data, name)


def contamination_of(tags: Mapping[str, str]) -> Contamination | None:
    """Returns how many evaluated images a version was trained on; None where that is not known.

    Raises:
        DataError: The tag is not JSON.
    """
    try:
        content = json.loads(tags.get(CONTAMINATION_TAG, "null"))
    except (ValueError, RecursionError) as error:
        message = f"The version's tag {CONTAMINATION_TAG} is not JSON: {error}"
        raise DataError(message, hint="Run evaluate again and register the new evaluation.") from error
    return None if content is None else Contamination.read(content)


def _registered(tags: Mapping[str, str], address_tag: str, digest_tag: str, file: str) -> tuple[bytes, str]:
    uri = tags.get(address_tag)
    if uri is None:
        raise DataError("This version was not registered with an evaluation.", hint="Use lesiongen register.")
    data, name = open_storage(uri).read_bytes(file), f"{uri}/{file}"
    if hashlib.sha256(data).hexdigest() != tags.get(digest_tag):
        hint = "Run evaluate again and register the new evaluation."
        raise DataError(f"{name} has changed since it was registered.", hint=hint)
    return data, name
