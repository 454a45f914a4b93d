"""The reference of the profiles names every field, and no other."""

import re
from pathlib import Path

from pipelines.kubeflow.profile import Profile

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "profiles.md"


def test_the_table_has_the_fields_of_a_profile():
    named = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert named == list(dict.fromkeys(named))
    assert set(named) == set(Profile.model_fields)
