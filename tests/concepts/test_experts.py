"""The words of public collections' experts in the report's entries."""

import pytest

from lesiongen.concepts import (
    Entry,
    Report,
    by_experts,
    dermoscopic_report,
    described,
    read_report,
    seven_point_report,
    skincon_report,
)
from lesiongen.concepts.experts import SEVEN_POINT_VALUES, SKINCON_CONCEPTS
from lesiongen.concepts.vocabulary import STRUCTURES, VOCABULARIES


def test_the_seven_points_become_patterns_and_elevation():
    report = seven_point_report(
        {"pigment_network": "atypical", "streaks": "absent", "vascular_structures": "Linear  irregular",
         "pigmentation": "", "elevation": "palpable"}
    )  # fmt: skip
    assert report.patterns == Entry(
        value=("atypical network", "linear irregular vessels"),
        source="expert",
        evidence={"atypical network": 1, "streaks": 0, "linear irregular vessels": 1},
    )
    assert report.elevation == Entry(value=("palpable",), source="expert", evidence={"palpable": 1})
    assert read_report(report.to_text()) == report


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pigment_network": "wild"}, "pigment_network = 'wild' is not one of absent, typical, atypical"),
        ({"pigment_net": "typical"}, "unknown column 'pigment_net'"),
        ({"elevation": "tall"}, "elevation = 'tall'"),
    ],
)
def test_a_value_that_derm7pt_does_not_have_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        seven_point_report(values)


def test_every_seven_point_value_has_a_word_of_the_vocabulary():
    for column, (name, words) in SEVEN_POINT_VALUES.items():
        assert name in (*STRUCTURES, "blue-white veil")
        for value in (*words, "absent"):
            assert seven_point_report({column: value}).patterns is not None


def test_skincons_concepts_have_their_places():
    assert len(SKINCON_CONCEPTS) == len(set(SKINCON_CONCEPTS.values())) == 48
    assert all(word in VOCABULARIES[name] for name, word in SKINCON_CONCEPTS.values())
    report = skincon_report({"Scale": True, "Crust": False, "Plaque": True, "Salmon": True, "Erythema": True})
    assert {name: entry.value for name, entry in report.entries()} == {
        "colour": ("salmon",), "texture": ("scaly",), "elevation": ("plaque",), "additional": ("erythema",),
    }  # fmt: skip
    assert report.texture.evidence == {"scaly": 1, "crusted": 0}
    with pytest.raises(ValueError, match="'Sparkle'"):
        skincon_report({"Sparkle": True})


def test_what_an_expert_did_not_find_is_recorded_without_words():
    report = dermoscopic_report({"streaks": False, "milia_like_cyst": False})
    assert report.patterns == Entry(value=(), source="expert", evidence={"streaks": 0, "milia-like cysts": 0})
    assert dermoscopic_report({}) == skincon_report({}) == seven_point_report({}) == Report()
    with pytest.raises(ValueError, match="'freckles'"):
        dermoscopic_report({"freckles": True})


def test_a_dermatologists_text_stands_beside_the_entries():
    report = described(skincon_report({"Nodule": True}), "  A nodule on the\n left arm. ")
    assert (report.description.text, report.description.source) == ("A nodule on the left arm.", "expert")
    assert described(report, " ") == report


def test_experts_are_found_again_in_a_report_that_others_completed():
    completed = Report(
        colour=Entry(value=("red",), source="measured", evidence={"red": 1.0, "black": 0.0}),
        shape_variability=Entry(value=("symmetric",), source="measured", evidence={"smaller": 0.0}),
        texture=Entry(value=("scaly",), source="expert"),
        skin_tone=Entry(value=("light",), source="measured", evidence={"ita": 45, "dark": 0.0}),
    )
    assert by_experts(completed) == Report(
        colour=Entry(value=(), source="expert", evidence={"black": 0.0}), texture=completed.texture
    )
