"""Some cases of each kind, and that the harness finds what it is to find."""

import os
from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz.harness import Tally, try_cases, until
from tests.fuzz.worker import KINDS, Outcome, try_case

MINUTES = 1.0


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_no_case_is_a_fault():
    numbers = range(10**9)
    cases = until((f"{kind}:{number}" for number in numbers for kind in KINDS), MINUTES)
    tally = Tally()
    try_cases(cases, processes=min(2, os.cpu_count() or 1), said=tally.add)
    assert set(tally.tried) == set(KINDS)
    assert not tally.faults, "\n\n".join(f"{one.case}\n{one.fault}" for one in tally.faults)


def _raises() -> None:
    raise KeyError("x")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda root: _raises, "KeyError"),
        (lambda root: (root / "beside").touch, "left behind"),
        (lambda root: (root / "canary").unlink, "removed"),
        (lambda root: lambda: (root / "canary").write_text("x"), "changed"),
    ],
)
def test_a_fault_is_found(tmp_path, monkeypatch, act, words):
    monkeypatch.setattr("tests.fuzz.documents.concepts", lambda rng, folder: act(tmp_path))
    assert words in (try_case("concepts:0", tmp_path).fault or "")


def test_a_case_makes_the_same_files_each_time(tmp_path: Path):
    import random

    from tests.fuzz import tables
    from tests.fuzz.mutation import damaged

    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        rng = random.Random("x")
        made.append([damaged(rng, bytes(100)) for _ in islice(iter(int, 1), 5)])
        tables.build(rng, tmp_path / name)
    assert made[0] == made[1]
    assert [path.name for path in (tmp_path / "a").iterdir()] == [path.name for path in (tmp_path / "b").iterdir()]


def test_outcomes_are_counted():
    tally = Tally()
    tally.add(Outcome("images:1", None, refused=True, seconds=1.5))
    tally.add(Outcome("images:2", "it broke"))
    assert "images" in tally.text()
    assert "tried       2  refused       1  faults    1  slowest   1.5 s (images:1)" in tally.text()
