"""Which registered model holds the classifiers of a generator: models can be renamed in MLflow, and names given again.

A classifier belongs to a version of a generator where both carry the digest of one evaluation.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from lesiongen.mlflow_server import service_errors
from lesiongen.registry.tags import CLASSIFIER_NAME_TAG, CLASSIFIER_TAG, EVALUATION_VERSION_TAG, found

__all__ = ["classifier_model_of", "model_for_classifiers"]


def classifier_model_of(client: Any, name: str, tags: Mapping[str, str]) -> str | None:
    """Returns the registered model that holds the classifier of a version of a generator.

    Args:
        client: The MLflow client.
        name: The generator's.
        tags: Those of its version.

    Returns:
        The model's name; None where the version has no classifier, or where that was deleted or renamed.
    """
    version = tags.get(CLASSIFIER_TAG)
    if not version:
        return None
    recorded, derived = tags.get(CLASSIFIER_NAME_TAG), _derived(name)
    for model in dict.fromkeys(filter(None, (recorded, derived))):
        classifier = found(lambda model=model: client.get_model_version(model, version))  # type: ignore[misc]
        if classifier is not None and _evaluation(classifier.tags) == _evaluation(tags):
            return model
    return None


def model_for_classifiers(client: Any, name: str) -> str:
    """Returns the registered model that takes the next classifier of a generator; it need not exist yet.

    That of the latest version whose classifier is there, or ``<name>-classifier``; where that name has come to belong
    to another generator, ``<name>-classifier-2`` and so on.
    """
    own = _versions(client, name)
    for version in reversed(own):
        if (model := classifier_model_of(client, name, version.tags)) is not None:
            return model
    evaluations = {_evaluation(version.tags) for version in own}
    for model in _names(name):
        others = _versions(client, model)
        if not others or any(_evaluation(other.tags) in evaluations for other in others):
            return model
    raise AssertionError("names do not end")


def _names(name: str) -> Iterator[str]:
    yield _derived(name)
    yield from (f"{_derived(name)}-{number}" for number in count(2))


def _derived(name: str) -> str:
    return f"{name}-classifier"


def _evaluation(tags: Mapping[str, str]) -> str | None:
    return tags.get(EVALUATION_VERSION_TAG)


def _versions(client: Any, name: str) -> list[Any]:
    with service_errors():
        return sorted(client.search_model_versions(f"name='{name}'"), key=lambda each: int(each.version))
