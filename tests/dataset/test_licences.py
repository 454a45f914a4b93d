import pytest

from lesiongen.dataset.licences import combine_licences, read_licence


@pytest.mark.parametrize(
    ("text", "rank"),
    [
        ("CC0-1.0", 0),
        ("CC-0", 0),
        ("CC BY 4.0", 1),
        ("cc-by-sa-4.0", 2),
        ("CC BY-NC 4.0", 3),
        ("Creative Commons Attribution-NonCommercial 4.0", 3),
        ("https://creativecommons.org/licenses/by-nc/4.0/", 3),
        ("CC-BY-NC-SA-3.0", 4),
        ("CC BY-NC-ND 4.0", 5),
        ("Stanford University Dataset Research Use Agreement", 6),
        ("used by permission of the hospital", 7),
        ("proprietary", 7),
        ("", 7),
        (None, 7),
    ],
)
def test_licences_are_ordered_by_how_little_they_allow(text, rank):
    assert read_licence(text).rank == rank


def test_the_strictest_licence_covers_the_whole():
    assert combine_licences(["CC0-1.0", "CC BY-NC 4.0", "CC BY 4.0"]) == combine_licences(["CC BY-NC 4.0"])
    assert combine_licences(["CC BY 4.0", None]).text == "unknown"
    assert combine_licences([]).text == "unknown"


def test_agreements_of_their_own_all_stay_in_force():
    combined = combine_licences(["CC BY 4.0", "A's terms of use", "B's research agreement"])
    assert combined.text == "A's terms of use AND B's research agreement"


def test_share_alike_and_stricter_terms_are_named_as_a_conflict():
    combined = combine_licences(["CC BY-NC-SA 3.0", "CC BY-SA 4.0", "CC0-1.0"])
    assert combined.text == "CC BY-SA 4.0 AND CC BY-NC-SA 3.0"
    assert len(combined.conflicts) == 1
    assert (
        "CC BY-SA 4.0 asks that the whole be shared under its own terms, and CC BY-NC-SA 3.0" in combined.conflicts[0]
    )
    assert not combine_licences(["CC BY-NC-SA 3.0", "CC BY-NC-SA 4.0", "CC BY-NC 4.0"]).conflicts
