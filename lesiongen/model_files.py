"""A model's files, wherever they lie, as a folder of this machine."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lesiongen.errors import StorageError, UsageError
from lesiongen.storage import open_storage

__all__ = ["model_files"]


@contextmanager
def model_files(name: str, revision: str | None, wanted: Sequence[str]) -> Iterator[Path]:
    """Gives a model as a local folder; what is fetched from S3 is removed at the end, the hub's cache is kept.

    Args:
        name: A folder, an ``s3://`` prefix, or a hub id (``owner/name``).
        revision: Commit of the hub repository.
        wanted: Patterns of the files that are fetched from the hub.

    Raises:
        UsageError: It is none of the three, or has no revisions.
        StorageError: It cannot be fetched.
    """
    remote, here = name.startswith("s3://"), Path(name).is_dir()
    if revision is not None and (remote or here):
        raise UsageError(f"{name} is not on the hub, and has no revision {revision!r}", hint="Leave the revision out.")
    if remote:
        with tempfile.TemporaryDirectory(prefix="lesiongen-model-") as folder:
            open_storage(name).download_folder(Path(folder), description="Fetching the model")
            yield Path(folder)
    else:
        yield Path(name) if here else _from_hub(name, revision, wanted)


def _from_hub(name: str, revision: str | None, wanted: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(wanted)))
    except HFValidationError as error:
        raise UsageError(f"{name} is neither a folder, nor an s3:// prefix, nor a hub id") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise StorageError(
            f"{name} is no folder here, and could not be fetched from the hub",
            hint="Check the name and the network, or download the model and give its folder.",
        ) from error
