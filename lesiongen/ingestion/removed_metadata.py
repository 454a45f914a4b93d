"""What was removed from image files because it could identify a person: counted, and listed beside the dataset."""

from collections import Counter
from collections.abc import Sequence

from lesiongen.ingestion.splitting import LoadedRow
from lesiongen.safe_csv import csv_table

__all__ = ["REMOVED_NAME", "removed_counts", "removed_table"]

REMOVED_NAME = "removed_metadata.csv"


def removed_counts(loaded: Sequence[LoadedRow]) -> dict[str, int]:
    """Returns the number of images for each kind (`lesiongen.imaging.private_metadata`) that was removed."""
    return dict(sorted(Counter(kind for item in loaded for kind in item.removed).items()))


def removed_table(loaded: Sequence[LoadedRow]) -> str | None:
    """Returns a table of the images and the kinds that their files carried, never what these said; None without any."""
    rows = [(item.row.image_key, item.row.image_id, ", ".join(item.removed)) for item in loaded if item.removed]
    return csv_table(("file", "image_id", "removed"), rows) if rows else None
