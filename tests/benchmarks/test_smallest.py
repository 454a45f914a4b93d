"""The benchmarks run, at their smallest size: what they print then says nothing of speed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesiongen.dataset import DatasetWriter, Sample
from lesiongen.imaging import encode_png

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LEAST = "--widths least --size 128 --batch 1"


def printed(name, arguments, folder):
    """Runs a benchmark in a folder and returns what it printed."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("agreement", "--phantoms 3 --sizes 64", "tone class: accuracy"),
        ("captions", "--images 4 --size 64 --pairs 1", "processor"),
        ("memory", "--small 60 --large 120 --stages ingest", "| ingest |"),
        ("evaluation_memory", "--small 20 --large 40 --size 32 --steps 2", "Ratio of the peaks: "),
        ("training", f"{LEAST} --images 2 --rank 2 --steps 3 --warm 1 --pairs 1", "| floor |"),
        ("sampling", f"{LEAST} --steps 2 --count 1 --pairs 1 --stages 1", "MiB for 4:"),
        ("checkpoints", f"{LEAST} --rank 2 --steps 4 --warm 1 --pairs 1 --methods lora", "| lora |"),
    ],
)
def test_a_benchmark_runs(tmp_path, name, arguments, words):
    assert words in printed(name, arguments, tmp_path)


@pytest.mark.slow
def test_the_image_checks_are_compared_with_bare_decoding(tmp_path):
    for name in ("ham10000_subset", "isic2017"):
        (tmp_path / name / "images").mkdir(parents=True)
        noise = np.random.default_rng(0).integers(0, 255, (150, 200, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / name / "images" / "1.jpg")
    text = printed("validation", f"--data {tmp_path} --images 4 --pairs 1", tmp_path)
    assert text.count("| 600 x 450, like HAM10000 |") == 2
    assert "Starting the processes: " in text


@pytest.mark.slow
def test_planted_copies_are_looked_for(tmp_path):
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(60):
        coarse = np.random.default_rng(number).integers(30, 230, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
        image.save(tmp_path / "images" / f"i{number:02}.jpg")
        rows.append(f"l{number},i{number:02}")
    (tmp_path / "HAM10000_metadata.csv").write_text("\n".join(["lesion_id,image_id", *rows]))
    text = printed("planted_copies", f"--data {tmp_path} --size 32 --copies 3", tmp_path)
    assert re.search(r"\| exact +\| 1\.000", text), text


@pytest.mark.slow
@pytest.mark.server
def test_a_query_of_all_metadata_reads_less_than_the_dataset(tmp_path):
    text = printed("publish", "--images 20 --rounds 1 --aws=", tmp_path)
    found = re.search(r"A query of all metadata reads ([\d,]+) of ([\d,]+) bytes", text)
    assert found, text
    asked, whole = (int(number.replace(",", "")) for number in found.groups())
    assert 0 < asked < whole


@pytest.mark.slow
def test_halves_of_a_collection_and_another_collection_are_compared(tmp_path):
    for name, grey in (("dark", 60), ("light", 190)):
        with DatasetWriter(str(tmp_path / name), name=name) as writer:
            for number in range(40):
                noise = np.random.default_rng(number).integers(grey - 50, grey + 50, (32, 32, 3), dtype=np.uint8)
                writer.add(
                    Sample(
                        image=encode_png(Image.fromarray(noise)), image_id=str(number), diagnosis="nv", split="train"
                    )
                )
    text = printed("drift", f"{tmp_path / 'dark'} {tmp_path / 'light'} --seeds 3 --counts 10 --known 5", tmp_path)
    assert text.count("of 3 |") == 6
    assert re.search(r"light against .*dark \| 40 \| 0\.[1-9]", text), text


def test_every_benchmark_is_run_by_a_test():
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    programs = [path.stem for path in BENCHMARKS.glob("*.py") if "argparse" in path.read_text()]
    assert [name for name in programs if f'"{name}' not in tests] == []
