"""What ingest and validation find with their defaults in the real collections that the project is developed with.

Prints a Markdown table: a line for each collection, its findings by check and number of images, classes or groups.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import machine, processor_seconds, table, versions

from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.validation import Severity, ValidateConfig, ValidationResult, validate

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Collection:
    """A collection as the table names it: the folder that holds it, its format, and whose split it keeps."""

    name: str
    folder: str
    format: str
    keep_official_split: bool = False


COLLECTIONS = (
    Collection("ISIC 2017, official split", "isic2017", "isic", keep_official_split=True),
    Collection("ISIC 2017, split by ingest", "isic2017", "isic"),
    Collection("HAM10000, a part with all classes", "ham10000_subset", "ham10000"),
    Collection("HAM10000, further nevi", "ham10000_nevi", "ham10000"),
    Collection("PAD-UFES-20, a part", "pad_ufes_20_subset", "pad_ufes_20"),
)


def findings(collection: Collection, data: Path, limit: int | None) -> list[str]:
    """Returns a collection's line of the table: its name, images and outcome, and what was found by severity."""
    config = IngestConfig(format=collection.format, keep_official_split=collection.keep_official_split, limit=limit)
    with tempfile.TemporaryDirectory() as folder:
        dataset = str(Path(folder) / "dataset")
        count = ingest(config, str(data / collection.folder), dataset).accepted
        result = validate(ValidateConfig(), dataset)
    outcome = "passed" if result.passed else "failed"
    return [collection.name, f"{count:,}", outcome, *(named(result, severity) for severity in SEVERITIES)]


def named(result: ValidationResult, severity: Severity) -> str:
    """Returns the checks with findings of a severity, each with the number of images, classes or groups."""
    found = [finding for finding in result.findings if finding.severity == severity]
    return ", ".join(f"`{finding.check}` {len(finding.rows or finding.parts)}" for finding in found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--limit", type=int, help="at most this many images of each, drawn by the seed")
    given = parser.parse_args(arguments)
    before = processor_seconds()
    rows = [findings(each, given.data, given.limit) for each in COLLECTIONS if (given.data / each.folder).is_dir()]
    packages = versions("lesiongen", "numpy", "pillow", "faiss-cpu", "great-expectations")
    print(f"{machine()}\n{packages}\n{processor_seconds() - before:.0f} s of processor time\n")
    print(table(["collection", "images", "outcome", "errors", "warnings", "infos"], rows))


if __name__ == "__main__":
    main()
