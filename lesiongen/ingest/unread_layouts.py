"""Collections that are not read as they are handed out, known by their files and columns, and the way out."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

__all__ = ["UnreadLayout", "unread_layout"]


@dataclass(frozen=True)
class UnreadLayout:
    """A layout that no reader understands.

    Attributes:
        name: What it is.
        way_out: What to do instead.
    """

    name: str
    way_out: str


_OPTIONS = "--format image_folder --option match=stem"
_2016 = UnreadLayout(
    "ISIC 2016 (part 3), whose table has no header",
    "Write the line file_name,diagnosis above the table (in the test part replace 0.0 and 1.0 by benign and "
    f"malignant) and read it with {_OPTIONS} --option table=NAME.",
)
_2024 = UnreadLayout(
    "ISIC 2024 (SLICE-3D)",
    f"HDF5 files are not read: take the JPEG images of the same collection, and read them with {_OPTIONS} "
    "--option table=train-metadata.csv --column file_name=isic_id --column diagnosis=iddx_full "
    "--column age=age_approx.",
)
_MILK10K = UnreadLayout(
    "MILK10k, which states the diagnosis of a lesion in one table and its two images in another",
    "Join the two tables by lesion_id, write the class of each lesion into a column diagnosis, and read the result "
    f"with {_OPTIONS} --option table=NAME --column file_name=isic_id --column age=age_approx.",
)
_OF_2024 = re.compile(r"(train|test)-image\.(hdf5|h5)|.*isic[_-]2024.*")
_OF_MILK10K = {"BEN_OTH", "MAL_OTH", "SCCKA"}


def unread_layout(files: Iterable[str], headers: Mapping[str, Sequence[str]]) -> UnreadLayout | None:
    """Returns the layout that a source has, where it is one that is known and not read.

    Args:
        files: Keys of its files that are no images.
        headers: The columns of its tables, as far as they were looked at.
    """
    names = [PurePosixPath(key).name.lower() for key in files]
    columns = {name for header in headers.values() for name in header}
    if "iddx_full" in columns or any(map(_OF_2024.fullmatch, names)):
        return _2024
    if columns >= _OF_MILK10K or any(name.startswith("milk10k") for name in names):
        return _MILK10K
    headless = (len(header) == 2 and re.fullmatch(r"ISIC_\d+", header[0]) for header in headers.values())
    if any(headless) or any(name.startswith("isbi2016") for name in names):
        return _2016
    return None
