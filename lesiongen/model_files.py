"""A model's files, wherever they lie, as a folder of this machine; what is fetched is data, never code.

A model's folder comes from strangers. Every place that loads one goes by these rules: only `DATA_SUFFIXES` are
fetched, only safetensors are read as weights (a pickle runs code), the libraries get ``trust_remote_code=False`` (left
out, transformers asks on the terminal), and no module is imported because a file names it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lesiongen.errors import StorageError, UsageError
from lesiongen.packaged_models import packaged_model
from lesiongen.redaction import register_secret
from lesiongen.storage import normal_address, open_storage
from lesiongen.temporary import temporary_folder

__all__ = ["DATA_SUFFIXES", "check_hub_id", "check_model_name", "hub_snapshot", "model_files"]

DATA_SUFFIXES = frozenset({".json", ".safetensors", ".txt"})
"""Endings of the files that may be fetched from S3 or a hub."""
_FURTHER = frozenset({".jinja"})
"""Chat templates, which transformers renders in a sandbox; fetched where a caller wants them."""


def check_model_name(name: str) -> None:
    """Refuses what is no model of the package, no folder of this machine, no ``s3://`` prefix and no possible hub id.

    Nothing is fetched: whether the prefix or the hub has the model is not known yet.

    Raises:
        UsageError: It is not one of these.
    """
    name = normal_address(name)
    if name.startswith("s3://"):
        open_storage(name)
    elif packaged_model(name) is None and not Path(name).is_dir():
        check_hub_id(name, f"{name} is neither a folder, nor an s3:// prefix, nor a hub id")


def check_hub_id(name: str, problem: str) -> None:
    """Refuses, with the words of `problem`, what cannot be the id of a model on the hub.

    Raises:
        UsageError: It cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(problem) from error


@contextmanager
def model_files(name: str, revision: str | None, wanted: Sequence[str]) -> Iterator[Path]:
    """Gives a model as a local folder; what is fetched from S3 is removed at the end, the hub's cache is kept.

    Args:
        name: A folder, an ``s3://`` prefix, a model of the package, or a hub id (``owner/name``).
        revision: Commit of the hub repository.
        wanted: Patterns of the files that are fetched from the hub; of S3 those of their endings are.

    Raises:
        UsageError: It is not one of these, or has no revisions.
        StorageError: It cannot be fetched.
    """
    suffixes, name = _suffixes(wanted), normal_address(name)
    check_model_name(name)
    remote = name.startswith("s3://")
    here = packaged_model(name) or (Path(name) if Path(name).is_dir() else None)
    if revision is not None and (remote or here is not None):
        raise UsageError(f"{name} is not on the hub, and has no revision {revision!r}", hint="Leave the revision out.")
    if remote:
        with temporary_folder("model") as folder:
            open_storage(name).download_folder(folder, description="Fetching the model", suffixes=suffixes)
            yield folder
    else:
        yield here or hub_snapshot(name, revision, wanted)


def _suffixes(wanted: Sequence[str]) -> frozenset[str]:
    suffixes = frozenset(Path(pattern).suffix for pattern in wanted)
    if not suffixes <= DATA_SUFFIXES | _FURTHER:
        raise ValueError(f"not fetched: {sorted(suffixes - DATA_SUFFIXES - _FURTHER)}")
    return suffixes


def hub_snapshot(name: str, revision: str | None, wanted: Sequence[str]) -> Path:
    """Returns the folder of the hub's cache that holds a model; what is not there yet is fetched.

    Args:
        name: The hub id (``owner/name``).
        revision: A commit of its repository; None: the newest.
        wanted: Patterns of the files.

    Raises:
        StorageError: It cannot be fetched.
    """
    from huggingface_hub import get_token, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    register_secret(get_token())
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(wanted)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise StorageError(
            f"{name} is not a folder on this machine, and could not be fetched from the hub",
            hint="Check the name and the network, or download the model and give its folder. "
            "Without a network: finetune --preset tiny, caption --tokenizer tiny, evaluate --classifier small.",
        ) from error
