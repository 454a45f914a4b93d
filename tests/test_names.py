"""Names made from what users call their folders keep to the rule for names."""

import pytest

from lesiongen.names import LONGEST_NAME, check_name, name_from


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ham10000", "ham10000"),
        ("Läsionen (2024)", "Lasionen-2024"),
        ("skin images", "skin-images"),
        (".hidden", "hidden"),
        ("_work-", "work"),
        ("皮膚", "dataset"),
        ("M\udce9lanome", "Mlanome"),
        ("a" * 150, "a" * LONGEST_NAME),
    ],
)
def test_a_name_is_made_from_that_of_a_folder(text: str, name: str) -> None:
    assert name_from(text) == name == check_name(name)
