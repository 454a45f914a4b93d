"""What ``lesiongen ingest`` prints of rows, images and folders that stay out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesiongen.cli import app as cli
from lesiongen.config import parse_config
from lesiongen.errors import UsageError
from lesiongen.ingestion import IngestConfig, Rejection, counted
from tests.ingestion import miniatures


def _source(folder: Path) -> Path:
    folder.mkdir()
    named = [f"{number}.png" for number in range(8)]
    rows = [f"{name},nv" for name in (*named, "lost 1.png", "lost 2.png", "lost 3.png")]
    (folder / "metadata.csv").write_text("\n".join(["file_name,dx", *rows]))
    for number, name in enumerate((*named, "stray.png")):
        pixels = np.random.default_rng(number).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "0.heic").write_bytes(b"")
    return folder


def test_rows_and_images_are_counted_apart(tmp_path, capsys):
    command = ["ingest", "--format", "image_folder", "--source", str(_source(tmp_path / "source"))]
    command += ["--on-error", "reject", "--max-rejected", "0.5"]
    cli.app([*command, "--output", str(tmp_path / "out")], standalone_mode=False)
    said = capsys.readouterr().out
    assert "\n  3 rows and 1 image rejected, see rejected.csv in its folder\n" in said
    assert "\n  1 file in formats that are not read, beside an image of the same name that is: 0.heic, for" in said
    cli.app([*command, "--output", str(tmp_path / "again"), "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert [item["row"] for item in told["rejected"]] == [10, 11, 12, None]
    assert len(told["notes"]) == 2  # a file that is not read, and ids that nobody knows


def test_a_misspelt_format_is_answered_with_the_nearest_one_first():
    with pytest.raises(UsageError) as caught:
        parse_config(IngestConfig, {"format": "ham1000"})
    assert str(caught.value).startswith(
        "IngestConfig: format = 'ham1000': unknown format; formats are ham10000, isic, isic2016, "
    )
    with pytest.raises(UsageError, match="formats are milk10k, ham10000"):
        parse_config(IngestConfig, {"format": "MILK-10k"})


def test_a_missing_format_is_answered_with_the_one_of_the_tables(tmp_path):
    source = miniatures.milk10k(tmp_path / "in")
    with pytest.raises(UsageError, match="--format is missing") as caught:
        cli.app(["ingest", "--source", str(source), "--output", str(tmp_path / "out")], standalone_mode=False)
    assert caught.value.hint == "It looks like milk10k: --format milk10k."


@pytest.mark.parametrize(
    ("rows", "images", "folders", "accepted", "expected"),
    [
        (1, 0, 0, None, "1 row"),
        (3, 1, 0, None, "3 rows and 1 image"),
        (0, 2, 1, None, "2 images and 1 folder"),
        (0, 0, 2, 5, "2 folders"),
        (1000, 1, 1, 500, "1,000 of 1,500 rows and 1 image and 1 folder"),
    ],
)
def test_what_stays_out_is_counted_by_what_it_is(rows, images, folders, accepted, expected):
    items = [Rejection("t.csv", 2, None, None, "") for _ in range(rows)]
    items += [Rejection("a.png", None, None, None, "") for _ in range(images)]
    items += [Rejection("nv/", None, None, None, "") for _ in range(folders)]
    assert counted(items, accepted) == expected
