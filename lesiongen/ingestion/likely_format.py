"""Which format a source is probably in, by the names and the columns of its tables."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import PurePosixPath

from lesiongen.errors import StorageError, UsageError
from lesiongen.ingestion.sources.source import Source, open_source
from lesiongen.ingestion.tables.reading import table_header
from lesiongen.storage import Storage

__all__ = ["is_isic2016", "likely_format", "no_format"]

_LOOKED_AT = 20
"""Tables whose columns are looked at."""
_BY_NAME = {
    "milk10k": r"milk10k_.*",
    "isic2024": r"(train|test)-image\.(hdf5|h5)|isic[_-]2024.*",
    "isic2016": r"isbi2016_isic_part3.*",
    "ham10000": r"ham10000_metadata(\.csv|\.tab)?",
    "isic": r"isic[_-]?20(17|18|19|20)_.*(groundtruth|metadata).*\.csv",
    "fitzpatrick17k": r"fitzpatrick17k\.csv",
    "ddi": r"ddi_metadata\.csv",
    "skincap": r"skincap_v\d+\.(csv|xlsx)",
}
_BY_COLUMNS: dict[str, set[str]] = {
    "isic2024": {"isic_id", "iddx_full"},
    "milk10k": {"BEN_OTH", "MAL_OTH", "SCCKA"},
    "ham10000": {"dx_type", "localization"},
    "derm7pt": {"seven_point_score", "blue_whitish_veil"},
    "pad_ufes_20": {"fitspatrick", "img_id"},
    "skincap": {"skincap_file_path"},
    "fitzpatrick17k": {"md5hash", "fitzpatrick_centaur"},
    "ddi": {"DDI_file"},
}


def likely_format(
    storage: Storage, files: Iterable[str], headers: Mapping[str, Sequence[str]] | None = None
) -> str | None:
    """Returns a sentence that names the format of a source, where its files or their columns show it.

    Args:
        storage: The source.
        files: Keys of its files that are not images.
        headers: The columns of its tables; by default they are read.
    """
    keys = list(files)
    if headers is None:
        headers = dict(islice(_headers(storage, keys), _LOOKED_AT))
    name = _by_name(keys) or _by_columns(headers.values())
    return f"It looks like {name}: --format {name}." if name else None


def no_format(source: str) -> UsageError:
    """Returns the error of a command that names no format, with the one that the source is probably in."""
    with open_source(source) as place:
        likely = likely_format(place, _no_images(place))
    return UsageError(
        "--format is missing: it says how the table is read",
        hint=likely or "`lesiongen datasets` lists the formats; image_folder reads a table of your own.",
    )


def is_isic2016(header: Sequence[str]) -> bool:
    """Tells whether a table without a header begins as ISIC 2016's do: the name of an image and its class."""
    return len(header) == 2 and re.fullmatch(r"ISIC_\d+", header[0]) is not None


def _no_images(place: Source) -> list[str]:
    return [item.key for item in place.list() if not item.key.lower().endswith((".jpg", ".jpeg", ".png"))]


def _headers(storage: Storage, keys: Iterable[str]) -> Iterable[tuple[str, list[str]]]:
    for key in keys:
        if PurePosixPath(key).suffix.lower() == ".csv":
            try:
                yield key, table_header(storage, key)
            except StorageError:  # whoever reads it gets the error
                continue


def _by_name(keys: Sequence[str]) -> str | None:
    names = [PurePosixPath(key).name.lower() for key in keys]
    found = (name for name, pattern in _BY_NAME.items() if any(re.fullmatch(pattern, file) for file in names))
    return next(found, None)


def _by_columns(headers: Iterable[Sequence[str]]) -> str | None:
    known = [set(header) for header in headers]
    if any(is_isic2016(list(header)) for header in headers):
        return "isic2016"
    return next((name for name, columns in _BY_COLUMNS.items() if any(columns <= header for header in known)), None)
