"""Modules that are imported when something of them is used."""

import subprocess
import sys
from pathlib import Path

import pytest

from lesiongen.validation.deferred_imports import deferred_imports

UNUSED = """
import sys
from lesiongen.validation.suite import load_great_expectations
load_great_expectations()
print(*({"altair", "jsonschema", "scipy.stats"} & set(sys.modules)))
from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as used
print(used.alt.Chart.__name__, used.stats.entropy([0.5, 0.5], base=2))
"""


@pytest.fixture
def seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "seldom_used.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "seldom_used", raising=False)
    return "seldom_used"


def test_a_deferred_module_is_imported_when_something_of_it_is_used(seldom: str) -> None:
    with deferred_imports(seldom):
        import seldom_used as deferred
    assert seldom not in sys.modules
    assert deferred.answer == 42
    assert sys.modules[seldom].answer == 42
    with pytest.raises(AttributeError):
        _ = deferred.question


def test_a_module_that_the_block_uses_stays_imported(seldom: str) -> None:
    with deferred_imports(seldom):
        import seldom_used as deferred

        assert deferred.answer == 42
    assert sys.modules[seldom].answer == 42


def test_a_module_that_was_imported_before_stays_as_it_is(seldom: str) -> None:
    import seldom_used as before

    with deferred_imports(seldom):
        import seldom_used as within
    assert within is before
    assert sys.modules[seldom] is before


def test_great_expectations_loads_without_what_its_other_expectations_need() -> None:
    # In a process of its own: another test may have imported them.
    done = subprocess.run([sys.executable, "-c", UNUSED], capture_output=True, text=True, check=True)
    assert done.stdout == "\nChart 1.0\n"
