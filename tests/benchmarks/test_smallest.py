"""The benchmarks run, at their smallest size: what they print then says nothing of speed."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("name", "arguments", "printed"),
    [
        ("agreement", "--phantoms 3 --sizes 64", "tone class: accuracy"),
        ("captions", "--images 4 --size 64 --pairs 1", "processor"),
        ("memory", "--small 60 --large 120 --stages ingest", "| ingest |"),
    ],
)
def test_a_benchmark_runs(tmp_path, name, arguments, printed):
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert printed in done.stdout
