"""The choice of a sweep, as an evaluation takes it: checked, and written down with its digest before any test image."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from lesiongen.dataset import Dataset
from lesiongen.errors import UsageError
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.sweeping.grid import REAL_ALONE
from lesiongen.records.sweep import ChosenBy, SweepRecord, read_sweep
from lesiongen.storage import open_storage

__all__ = ["chosen_by", "chosen_note", "opened_sweep", "with_choice"]

RESULT = "sweep.json"


def opened_sweep(uri: str) -> tuple[SweepRecord, ChosenBy]:
    """Reads a sweep, and what an evaluation writes down of it.

    Args:
        uri: Its folder or prefix, or its ``sweep.json``.

    Raises:
        UsageError: There is no finished sweep.
        DataError: Its ``sweep.json`` is damaged.
    """
    is_file = PurePosixPath(uri).name == RESULT
    storage = open_storage(uri.removesuffix(RESULT) or "." if is_file else uri)
    if not storage.exists(RESULT):
        raise UsageError(
            f"{storage.uri} contains no {RESULT}",
            hint="Repeat lesiongen sweep until it has finished, and name its output.",
        )
    data = storage.read_bytes(RESULT)
    record = read_sweep(data, f"{storage.uri}/{RESULT}")
    digest = hashlib.sha256(data).hexdigest()
    return record, ChosenBy(
        uri=storage.uri, digest=digest, created=record.created, choice=record.choice, tested=record.tested
    )


def chosen_by(uri: str, config: EvaluateConfig, real: Dataset, synthetic: Dataset) -> ChosenBy:
    """Returns what an evaluation writes down of a sweep, having checked that it evaluates that sweep's choice.

    Args:
        uri: The sweep.
        config: The settings of the evaluation.
        real: The real images.
        synthetic: The synthetic images.

    Raises:
        UsageError: The sweep was made for other images, or the settings are not those that it chose.
    """
    record, chosen = opened_sweep(uri)
    for what, dataset, swept in (("real", real, record.real), ("synthetic", synthetic, record.chosen_images)):
        if dataset.manifest.version != swept.version:
            raise UsageError(
                f"The sweep {chosen.uri} was made for other {what} images: version {swept.version[:12]} of "
                f"{swept.uri}, not {dataset.manifest.version[:12]} of {dataset.uri}",
                hint="Repeat the sweep for these images, or name those that it was made for.",
            )
    _check_fields(record, chosen.uri, config.model_dump(mode="json"))
    return chosen


def with_choice(uri: str, fields: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Returns the fields of an `EvaluateConfig` with those that a sweep chose, and the synthetic images that it chose.

    Args:
        uri: The sweep.
        fields: The fields that are given.

    Raises:
        UsageError: There is no finished sweep, or a field that is given contradicts its choice.
    """
    record, chosen = opened_sweep(uri)
    _check_fields(record, chosen.uri, fields)
    return {**record.evaluate, **fields}, record.chosen_images.uri


def _check_fields(record: SweepRecord, uri: str, fields: Mapping[str, Any]) -> None:
    for name, chosen in record.evaluate.items():
        if name not in fields:
            continue
        given = fields[name]
        if name == "classifiers":
            if not isinstance(given, list | tuple):
                continue  # invalid: EvaluateConfig refuses it with a message
            given = list(given)[:1]  # further ones may be reported beside the one that judged
        if given != chosen:
            raise UsageError(
                f"{name} = {given} contradicts the choice of the sweep {uri}: {chosen}",
                hint="Leave it out, or evaluate without the sweep.",
            )


def chosen_note(chosen: ChosenBy) -> str:
    """Returns what a reader of the report has to know of how the settings were chosen."""
    note = (
        f"The settings were chosen on validation images by the sweep {chosen.uri} of {chosen.created} (SHA-256 "
        f"{chosen.digest[:12]}…), before this evaluation opened the test split: {chosen.tested}."
    )
    if chosen.choice == REAL_ALONE:
        note += (
            " The sweep chose real images alone. The same rule chose this candidate among those with synthetic images."
        )
    return note
