"""Work on a dataset in several jobs: each takes a part of its rows, and the parts become one dataset again."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lesiongen.dataset.kept import keep_documents
from lesiongen.dataset.reader import Dataset
from lesiongen.dataset.schema import Sample
from lesiongen.dataset.writer import DatasetWriter
from lesiongen.errors import UsageError
from lesiongen.records.origin import CaptionOrigin, OtherOrigin, SampleOrigin

__all__ = ["Part", "join_parts", "part_of"]


@dataclass(frozen=True)
class Part:
    """One of several parts of equal size, written ``2/4``: the second of four."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(f"part {self} is out of range", hint=f"Parts of {self.count} begin with 1.")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Reads ``i/n``.

        Raises:
            UsageError: It is something else, or i is not within 1 to n.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match is None:
            raise UsageError(f"invalid part {text!r}", hint="Write i/n, for example 2/4: the second of four.")
        return cls(int(match[1]), int(match[2]))

    def rows(self, total: int) -> range:
        """Returns the positions of this part's rows among ``total``: contiguous, and each row in one part.

        Raises:
            UsageError: There are more parts than rows.
        """
        if total < self.count:
            raise UsageError(f"Part {self}: there are {total} to share", hint="Take fewer parts.")
        return range(total * (self.number - 1) // self.count, total * self.number // self.count)


def part_of(dataset: Dataset) -> Part | None:
    """Returns which part of a whole a dataset is, None where it is one by itself."""
    origin = dataset.manifest.origin
    if isinstance(origin, CaptionOrigin | SampleOrigin | OtherOrigin) and origin.part:
        return Part.parse(origin.part)
    return None


def join_parts(
    parts: Sequence[Dataset],
    output: str,
    *,
    name: str,
    documents: Callable[[Dataset], Mapping[str, str | bytes | None]] | None = None,
) -> Dataset:
    """Publishes the parts of one job as the dataset that the job would have written in one go, byte by byte.

    Args:
        parts: Every part once, in any order.
        output: New folder or prefix.
        name: Name of the whole.
        documents: Makes the files to lie beside the shards, by name, of the whole as it will be published.

    Raises:
        UsageError: A part is missing or given twice, or the parts are not of one job.
    """
    ordered = _ordered(parts)
    manifest = ordered[0].manifest
    with DatasetWriter(
        output,
        name=name,
        licence=manifest.licence,
        attribution=manifest.attribution,
        origin=manifest.origin.whole(),
    ) as writer:
        keep_documents(ordered[0], writer)  # each part has kept those of the whole
        for sample in _samples(ordered):
            writer.add(sample)
        if documents is not None:
            writer.documents |= documents(Dataset.open(writer.finished()))
    return Dataset.open(output)


def _samples(parts: Sequence[Dataset]) -> Iterator[Sample]:
    for part in parts:
        yield from part.samples()


def _ordered(parts: Sequence[Dataset]) -> list[Dataset]:
    numbered: dict[int, Dataset] = {}
    for dataset in parts:
        part = part_of(dataset)
        if part is None:
            raise UsageError(f"{dataset.uri} is a whole dataset, not a part of one")
        if part.count != len(parts) or part.number in numbered:
            raise UsageError(
                f"{dataset.uri} is part {part}; parts given: {len(parts)}",
                hint="Give every part of one job, each once.",
            )
        numbered[part.number] = dataset
    ordered = [numbered[number] for number in sorted(numbered)]
    for dataset in ordered[1:]:
        if dataset.manifest.origin.whole() != ordered[0].manifest.origin.whole():
            raise UsageError(
                f"{dataset.uri} and {ordered[0].uri} are not of one job: they were made from other data or otherwise",
                hint="Give the parts that one configuration made of one dataset.",
            )
    return ordered
