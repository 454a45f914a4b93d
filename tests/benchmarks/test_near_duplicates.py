"""The benchmarks of near-duplicates run at their smallest size; what they print is what the documentation claims."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lesiongen.phantoms.concepts import PhantomConfig, draw_concepts
from lesiongen.phantoms.render import render

pytestmark = pytest.mark.slow
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Generated lesions in the layout of the real sets; of each tenth a mirrored copy is one of the look-alikes."""
    data = tmp_path_factory.mktemp("data")
    config = PhantomConfig(n=40, size=128, seed=3, images_per_lesion=1, duplicate_share=0)
    for name in ("ham10000_subset", "look_alikes"):
        (data / name / "images").mkdir(parents=True)
    rows = []
    for number in range(config.n):
        image = render(draw_concepts(config, number), config.size)
        image.save(data / "ham10000_subset" / "images" / f"P{number:02d}.jpg", quality=95)
        rows.append((f"L{number}", f"P{number:02d}"))
        if number % 10 == 0:
            image.rotate(90).save(data / "look_alikes" / "images" / f"C{number:02d}.jpg", quality=95)
    with (data / "ham10000_subset" / "HAM10000_metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("lesion_id", "image_id"), *rows])
    with (data / "look_alikes" / "pairs.csv").open("w", newline="") as file:
        pairs = [(f"P{number:02d}", f"C{number:02d}", "yes") for number in range(0, config.n, 10)]
        csv.writer(file).writerows([("first", "second", "same_photograph"), *pairs])
    return data


def printed(name, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": ""}
    command = [sys.executable, str(BENCHMARKS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def rows(text):
    """Returns the cells of the tables' lines by their first cell."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return {line[0]: line[1:] for line in lines}


def test_planted_copies_are_found_and_the_search_is_timed(sets):
    text = printed("duplicates.py", "--data", sets, "--planted", 5, "--images", 60)
    assert rows(text)["flipped"] == ["1.000"]
    assert rows(text)["all together"][0] == "44"
    assert re.search(r"Search among 60 images: [\d.]+ s \([\d.]+ s of processor time\)", text)


def test_the_limits_are_chosen_on_one_half_and_judged_on_the_other(sets):
    text = printed("duplicate_limits.py", "--data", sets, "--planted", 6)
    found = rows(text)
    assert re.fullmatch(r"\d of 6 \(0\.\d{3} to [01]\.\d{3}\)", found["resized to 60%"][0])
    assert [found[half][4] for half in "01"] == ["0", "0"], "false pairs"
    true = [int(number) for half in "01" for number in found[half][7].split(" of ")]
    assert true[0] + true[2] == true[1] + true[3] == 4


def test_a_collection_is_ingested_and_validated(sets):
    found = rows(printed("collection.py", "--data", sets, "--images", 120))
    assert {"ingest", "validate", "ingest and validate", "decoding alone, before"} <= found.keys()
    assert float(found["ingest and validate"][1]) > 0
