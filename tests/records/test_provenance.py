import pytest

from lesiongen.records.provenance import is_generated, is_synthetic


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        ('{"image_manipulation": "synthetic", "seed": 1}', True),
        ('{"image_manipulation": "altered", "note": "no synthetic image"}', False),
        ('"synthetic"', False),
        ("synthetic", False),
        ("", False),
        (None, False),
        (float("nan"), False),
    ],
)
def test_only_the_marker_itself_says_that_no_patient_is_in_an_image(provenance, expected):
    assert is_synthetic(provenance) is expected
    assert is_generated(provenance) is expected


def test_a_reconstruction_is_made_by_a_model_and_shows_a_patient():
    provenance = '{"image_manipulation": "reconstruction"}'
    assert (is_generated(provenance), is_synthetic(provenance)) == (True, False)
