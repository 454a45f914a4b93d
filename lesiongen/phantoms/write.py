"""Writes phantoms as an image folder with a table, in the layout of Hugging Face's ``imagefolder``."""

import csv
from dataclasses import dataclass
from pathlib import Path

from lesiongen.errors import UsageError
from lesiongen.phantoms.concepts import PhantomConcepts, PhantomConfig, draw_concepts
from lesiongen.phantoms.render import render
from lesiongen.progress import progress
from lesiongen.storage import LocalStorage, claimed, open_storage

__all__ = ["WrittenPhantoms", "write_phantoms"]

COLUMNS = (
    "file_name", "image_id", "lesion_id", "patient_id", "diagnosis", "age", "sex", "site", "skin_tone",
    "skin_tone_scale", "image_type",
)  # fmt: skip


@dataclass(frozen=True)
class WrittenPhantoms:
    """What was written: the folder, the number of images, and how many there are of each diagnosis."""

    folder: Path
    images: int
    classes: dict[str, int]


def write_phantoms(config: PhantomConfig, output: str | Path) -> WrittenPhantoms:
    """Writes images/*.png, metadata.csv (what a clinic would know) and concepts.jsonl (the truth).

    Raises:
        UsageError: The output folder holds files already, or another process writes there.
    """
    folder = open_storage(output)
    if not isinstance(folder, LocalStorage):
        raise UsageError(f"{output} is not a local folder", hint="Name a new folder; `ingest` takes it to S3.")
    with claimed(folder):
        if folder.root.exists() and (not folder.root.is_dir() or any(folder.root.iterdir())):
            raise UsageError(f"{output} is not an empty folder", hint="Name a new folder for the phantoms.")
        with folder.publishing() as place:  # an interrupted command leaves nothing
            classes = _write(config, Path(place.uri))
    return WrittenPhantoms(folder.root, config.n, classes)


def _write(config: PhantomConfig, folder: Path) -> dict[str, int]:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    classes: dict[str, int] = {}
    with (
        (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as table_file,
        (folder / "concepts.jsonl").open("w", encoding="utf-8") as truth,
        progress("Phantoms", total=config.n, unit="images") as bar,
    ):
        table = csv.DictWriter(table_file, COLUMNS)
        table.writeheader()
        for index in range(config.n):
            concepts = draw_concepts(config, index)
            row = _row(concepts)
            render(concepts, config.size).save(folder / row["file_name"])
            table.writerow(row)
            truth.write(concepts.model_dump_json() + "\n")
            classes[concepts.diagnosis] = classes.get(concepts.diagnosis, 0) + 1
            bar.advance()
    return dict(sorted(classes.items()))


def _row(concepts: PhantomConcepts) -> dict[str, str]:
    return {
        "file_name": f"images/{concepts.image_id}.png",
        "image_id": concepts.image_id,
        "lesion_id": concepts.lesion_id,
        "patient_id": concepts.patient_id,
        "diagnosis": concepts.diagnosis,
        "age": "" if concepts.age is None else f"{concepts.age:.0f}",
        "sex": concepts.sex,
        "site": concepts.site,
        "skin_tone": str(concepts.skin_tone),
        "skin_tone_scale": "fitzpatrick",
        "image_type": "dermoscopic",
    }
