"""What the user should know of a source once it has been read, in sentences."""

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence

from lesiongen.dataset import overlapping_classes
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.splitting import LoadedRow, diagnosis_of

__all__ = ["looks_like_ids", "source_notes"]

_IDS = ("lesion_id", "patient_id", "case_id")
# Words for what an id tells apart, in the languages that tables came in.
_WORDS = {
    "patient_id": ("patient", "subject", "participant", "person", "mrn", "pid", "paziente", "paciente"),
    "lesion_id": ("lesion", "lasion", "läsion", "tumor", "tumour"),
    "case_id": ("case", "fall"),
}


def looks_like_ids(unread: Iterable[str], read: Collection[str]) -> Iterator[str]:
    """Yields a sentence for each id that a table seems to have in a column of another name.

    Args:
        unread: Names of columns that are not read.
        read: Ids that are read from other columns, of `lesion_id`, `patient_id` and `case_id`.
    """
    columns = list(unread)
    for canonical, words in _WORDS.items():
        found = next((name for name in columns if _is_called(name, words)), None)
        if found and canonical not in read:
            yield f"Column {found!r} looks like {canonical}: --column {shlex.quote(f'{canonical}={found}')}"


def _is_called(column: str, words: Sequence[str]) -> bool:
    """Tells whether a name is one of the words, alone or with a word for a number (``Patient No.``, ``subject-id``)."""
    parts = re.findall(r"[^\W\d_]+", re.sub(r"([a-zäöü])([A-Z])", r"\1 \2", column).casefold())
    numbers = {"id", "ids", "identifier", "no", "nr", "num", "number", "nummer", "code", "key", "the", "name"}
    return bool(parts) and all(part in numbers or part in words for part in parts) and not numbers.issuperset(parts)


def source_notes(source: Source, loaded: Sequence[LoadedRow]) -> list[str]:
    """Returns notes on the files and the rows of a source, whatever its format."""
    return [*_unused(source), *_without_ids(loaded), *_coarse_classes(loaded), *_same_content(loaded)]


def _unused(source: Source) -> Iterator[str]:
    if source.unused:
        files = f"{len(source.unused):,} file{'s' if len(source.unused) > 1 else ''}"
        example = next(iter(source.unused))
        yield f"{files} in formats that are not read, beside an image of the same name that is: {example}, for example"


def _without_ids(loaded: Sequence[LoadedRow]) -> Iterator[str]:
    if len(loaded) > 1 and not any(item.row.values.get(name) for item in loaded for name in _IDS):
        yield "No lesion_id and no patient_id: photographs of one patient may be in train and test"


def _coarse_classes(loaded: Sequence[LoadedRow]) -> Iterator[str]:
    if text := overlapping_classes(diagnosis_of(item.row) for item in loaded):
        yield text


def _same_content(loaded: Sequence[LoadedRow]) -> Iterator[str]:
    firsts: dict[str, str] = {}
    copies = []
    for item in loaded:
        if (first := firsts.setdefault(item.content, item.row.image_id)) != item.row.image_id:
            copies.append(f"{item.row.image_id} of {first}")
    if copies:
        what = "1 image has" if len(copies) == 1 else f"{len(copies):,} images have"
        yield f"{what} the content of another: {copies[0]}{', for example' if len(copies) > 1 else ''}"
