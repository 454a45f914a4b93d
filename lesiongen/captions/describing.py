"""Lets every writer see every image: on all cores, in pieces that a second attempt finds again."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, tee

from lesiongen import __version__
from lesiongen.captions.config import CaptionConfig, WriterName
from lesiongen.captions.journal import Described, Journal
from lesiongen.captions.writers import LOCAL_WRITERS, DecodedImages, Writer
from lesiongen.dataset import Sample
from lesiongen.parallel import in_processes

__all__ = ["described", "work_key"]

PACE_AND_LIMITS = {
    "allow_upload", "concurrency", "requests_per_minute", "timeout", "attempts", "max_requests", "max_tokens",
    "max_cost", "price_input", "price_output", "image_tokens",
}  # fmt: skip
"""What decides whether and how fast a model is asked, not what it states."""

PIECE_ROWS = 64
FEWEST_PIECES = 3
"""Pieces below which starting processes takes longer than the work itself."""


def described(
    names: Sequence[WriterName],
    samples: Iterator[Sample],
    rows: range,
    journal: Journal,
    others: Mapping[WriterName, Writer],
) -> Iterator[tuple[Sample, Described]]:
    """Yields every sample with what each writer states of it, in the order of the samples.

    Args:
        names: The writers, in the order of trust.
        samples: The samples at the positions ``rows`` of their dataset.
        rows: These positions.
        journal: Where finished pieces are found and kept.
        others: The writers that do not run in processes of their own.
    """
    local = tuple(name for name in names if name in LOCAL_WRITERS)
    waiting, working = tee(_pieces(samples, rows, journal))
    processes = 1 if len(rows) < FEWEST_PIECES * PIECE_ROWS else None
    found = in_processes(partial(_write_locally, local), (piece.unknown for piece in working), processes=processes)
    for piece, stated in zip(waiting, found, strict=True):
        if piece.known is None:
            yield from zip(piece.samples, _finish(names, piece, stated, others, journal), strict=True)
        else:
            yield from zip(piece.samples, piece.known, strict=True)


def work_key(config: CaptionConfig, dataset_version: str) -> str:
    """Names the writers' work on a dataset: what they state depends on nothing else."""
    model = config.vision_language
    content = {
        "release": __version__,
        "dataset": dataset_version,
        "writers": sorted(config.writers),
        "vision_language": model.model_dump(mode="json", exclude=PACE_AND_LIMITS) if model else None,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Piece:
    rows: range
    samples: Sequence[Sample]
    known: Sequence[Described] | None

    @property
    def unknown(self) -> Sequence[Sample]:
        """The samples that writers have yet to see."""
        return self.samples if self.known is None else ()


def _pieces(samples: Iterable[Sample], rows: range, journal: Journal) -> Iterator[_Piece]:
    stream = iter(samples)
    for start in range(rows.start, rows.stop, PIECE_ROWS):
        piece = range(start, min(start + PIECE_ROWS, rows.stop))
        yield _Piece(piece, list(islice(stream, len(piece))), journal.get(piece))


def _write_locally(names: Sequence[WriterName], samples: Sequence[Sample]) -> list[Described]:
    images = DecodedImages(samples)
    columns = {name: LOCAL_WRITERS[name].write(samples, images) for name in names}
    return [{name: columns[name][row] for name in names} for row in range(len(samples))]


def _finish(
    names: Sequence[WriterName],
    piece: _Piece,
    stated: Sequence[Described],
    others: Mapping[WriterName, Writer],
    journal: Journal,
) -> Sequence[Described]:
    images = DecodedImages(piece.samples)
    columns = {name: writer.write(piece.samples, images) for name, writer in others.items()}
    complete = [
        {name: columns[name][row] if name in columns else known[name] for name in names}
        for row, known in enumerate(stated)
    ]
    journal.put(piece.rows, complete)
    return complete
