"""What an evaluation says about a model is worth something only if it is this model's, on images it never saw."""

import hashlib
from collections.abc import Mapping
from typing import Any

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, StorageError

__all__ = ["check_same_model", "contamination"]


def check_same_model(evaluation: Mapping[str, Any], model_version: str) -> None:
    """Checks that the evaluated synthetic images were drawn by a version of a model.

    Raises:
        DataError: They were drawn by another one, or do not say by which.
        StorageError: The synthetic images are no longer there.
    """
    uri = _source(evaluation, "synthetic")["uri"]
    drawn_by = Dataset.open(uri).manifest.origin.get("model_version")
    if drawn_by != model_version:
        by = f"the model {str(drawn_by)[:12]}, not {model_version[:12]}" if drawn_by else "an unnamed model"
        raise DataError(
            f"The evaluated images in {uri} were drawn by {by}.",
            hint="Evaluate images that this model drew, or name the model that drew them.",
        )


def contamination(evaluation: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, int] | None:
    """Counts the images of the evaluation's validation and test splits that the generator was trained on.

    Where generator and evaluation used the same version of a dataset there are none: its splits share no lesion, which
    the evaluation has checked. Else the image files themselves are compared.

    Args:
        evaluation: Content of ``evaluation.json``.
        model: Content of ``_model.json``.

    Returns:
        Counts by split; None where the images that the generator was trained on are not known any more.
    """
    trained, tested = (model.get("training") or {}).get("dataset"), _source(evaluation, "real")
    if not trained:
        return None
    if trained["version"] == tested["version"]:
        return {"validation": 0, "test": 0}
    try:
        seen = _digests(trained["uri"], trained["version"], "train")
        return {name: len(seen & _digests(tested["uri"], tested["version"], name)) for name in ("validation", "test")}
    except StorageError:
        return None


def _source(evaluation: Mapping[str, Any], name: str) -> Mapping[str, str]:
    try:
        source = evaluation["sources"][name]
        return {"uri": str(source["uri"]), "version": str(source["version"])}
    except (KeyError, TypeError) as error:
        raise DataError(f"The evaluation does not name its {name} images.", hint="Evaluate anew.") from error


def _digests(uri: str, version: str, split: str) -> set[bytes]:
    dataset = Dataset.open(uri)
    if dataset.manifest.version != version:
        raise DataError(f"{uri} is no longer the version {version[:12]} that was used.")
    return {hashlib.sha256(sample.image).digest() for sample in dataset.samples(split)}
