"""Whole ingests of small collections of which tables, images and archives are damaged."""

import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from lesiongen.dataset import Dataset
from lesiongen.errors import LesionGenError
from lesiongen.ingestion import IngestConfig, ingest
from tests.fuzz import archives, images, tables
from tests.fuzz.mutation import damaged
from tests.ingestion.cases import CASES
from tests.ingestion.miniatures import write_picture


def build(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Makes a collection of any format; whatever of it can be used is ingested."""
    source = folder / "source"
    if rng.random() < 0.5:
        name = _image_folder(rng, source)
    else:
        case = rng.choice(CASES)
        name = case.format
        case.build(source)
        _harm(rng, source)
    if rng.random() < 0.15:
        source = Path(shutil.make_archive(str(folder / "packed"), rng.choice(("zip", "tar")), source))
    config = IngestConfig(
        format=name, on_error=rng.choice(("reject", "reject", "fail")), max_rejected=0.95, max_missing=1
    )
    output = folder / "output"

    def act() -> None:
        try:
            result = ingest(config, str(source), str(output))
        except LesionGenError:
            assert not (output / "_dataset.json").exists(), "it failed, and left a dataset"
            raise
        data = Dataset.open(str(output))
        assert len(list(data.samples())) == result.accepted == data.manifest.rows

    return act


def _image_folder(rng: random.Random, source: Path) -> str:
    source.mkdir()
    rows = [tables.row(rng, number) for number in range(rng.choice((6, 12)))]
    for number in range(len(rows)):
        if rng.random() < 0.3:
            (source / f"{number}.png").write_bytes(images.broken(rng))
        else:
            write_picture(source / f"{number}.png", rng.randrange(1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables.write(rng, source / f"metadata.{rng.choice(('csv', 'jsonl', 'parquet'))}", rows)
    if rng.random() < 0.2:
        ending = rng.choice(archives.ENDINGS)
        (source / f"more{ending}").write_bytes(archives.broken(rng, ending))
    return "image_folder"


def _harm(rng: random.Random, source: Path) -> None:
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    for path in rng.sample(paths, min(len(paths), rng.randint(1, 4))):
        kind = rng.randrange(4)
        if kind == 0:
            path.write_bytes(damaged(rng, path.read_bytes()))
        elif kind == 1:
            path.unlink()
        elif kind == 2:
            path.write_bytes(images.broken(rng))
        else:
            path.rename(path.with_name(path.name.swapcase()))
