"""Files of the project that the documentation names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))
PATH = re.compile(r"`((?:tests|lesiongen|pipelines|components|benchmarks)/(?!NAME)[^`\s]*)`")
"""``NAME`` stands for a file that the reader writes."""


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_of_the_project_that_a_page_names_exist(page: Path) -> None:
    named = PATH.findall((ROOT / page).read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_documentation_names_files_of_the_project() -> None:
    named = [name for page in PAGES for name in PATH.findall((ROOT / page).read_text())]
    assert len(named) >= 10
