"""Where a dataset may be written: apart from its source, and where nothing else lies."""

from collections.abc import Iterable
from pathlib import Path

from lesiongen.dataset.kept import KEPT_DOCUMENTS
from lesiongen.dataset.manifest import MANIFEST_NAME
from lesiongen.dataset.writer import SHARD_NAME
from lesiongen.errors import UsageError
from lesiongen.ingestion.rejections import LEFT_OUT_NAMES
from lesiongen.ingestion.removed_metadata import REMOVED_NAME
from lesiongen.storage import check_reachable, overlap

__all__ = ["check_output", "check_output_behind_links"]

_DOCUMENTS = {*LEFT_OUT_NAMES.values(), REMOVED_NAME, *(kept.name for kept in KEPT_DOCUMENTS)}


def check_output(source: str, output: str) -> None:
    """Refuses an output that would mix the dataset with the source or with other files.

    What an interrupted ingest has left, and hidden files, do no harm. A finished dataset is for its writer to refuse.

    Raises:
        UsageError: The output is the source, lies within it or contains it, or is a local folder with other files.
        StorageError: A folder above the output may not be entered.
    """
    if overlap(source, output):
        raise UsageError(
            f"The output {output} is the source, or is inside it, or contains it",
            hint="Name a new folder, apart from the source.",
        )
    folder = Path(output)
    if "://" not in output:
        check_reachable(folder)
    if "://" in output or not folder.exists() or (folder / MANIFEST_NAME).exists():
        return
    if not folder.is_dir() or any(_is_foreign(path) for path in folder.iterdir()):
        raise UsageError(f"{output} is not an empty folder", hint="Name a new folder for the dataset.")


def check_output_behind_links(link_targets: Iterable[str], output: str) -> None:
    """Refuses an output in a folder that the source links to, whose files are the source's too.

    Args:
        link_targets: The folders.
        output: Where the dataset would be written.

    Raises:
        UsageError: It lies within one of them or contains one.
    """
    if target := next((target for target in link_targets if overlap(target, output)), None):
        raise UsageError(
            f"The output {output} is in {target}, a folder that the source links to, or contains it",
            hint="Name a new folder, apart from the source.",
        )


def _is_foreign(path: Path) -> bool:
    left = path.name.startswith(".") or path.name in _DOCUMENTS or SHARD_NAME.fullmatch(path.name) is not None
    return path.is_dir() or not left
