"""Who is believed, and what counts as a contradiction."""

import pytest

from lesiongen.captions.contradictions import across_entries, difference, within_entry
from lesiongen.captions.stacking import stack_reports
from lesiongen.concepts import Entry, Report


def _entry(*words, source="measured", **evidence):
    return Entry(value=words, source=source, evidence=evidence)


def _seen(*words, **evidence):
    return _entry(*words, source="vision-language", **evidence)


def _expert(*words, **evidence):
    return _entry(*words, source="expert", **evidence)


def _type(word):
    return _entry(word, source="metadata")


def test_the_most_trusted_report_speaks_and_the_others_fill_gaps():
    expert = Report(colour=_expert("red"))
    measured = Report(colour=_entry("black"), size=_entry("small"))
    report, findings = stack_reports([expert, measured])
    assert report == Report(colour=expert.colour, size=measured.size)
    (finding,) = findings
    assert (finding.check, finding.writer, finding.entry, finding.rule) == (
        "contradiction with the measurement", "measured", "colour", "keep the more trusted",
    )  # fmt: skip


def test_what_an_expert_did_not_find_is_not_stated_and_stays_on_record():
    expert = Report(patterns=_expert(network=0.0, streaks=0.0))
    model = Report(patterns=_seen("atypical network", "blue-white veil"))
    report, findings = stack_reports([expert, model])
    assert report.patterns == _seen("blue-white veil", network=0.0, streaks=0.0)
    assert [finding.detail for finding in findings] == ["expert: no atypical network"]
    nothing_left, _ = stack_reports([expert, Report(patterns=_seen("streaks"))])
    assert nothing_left == expert


@pytest.mark.parametrize(
    ("name", "trusted", "other", "differs"),
    [
        ("skin_tone", _type("Fitzpatrick II"), _entry("intermediate"), False),
        ("skin_tone", _type("Fitzpatrick II"), _entry("tan"), True),
        ("skin_tone", _type("Fitzpatrick III-IV"), _entry("brown"), False),
        ("skin_tone", _type("Fitzpatrick III-IV"), _entry("dark"), True),
        ("colour", _expert("red", "black"), _entry("black"), False),
        ("colour", _expert("hyperpigmented brown"), _entry("light brown"), False),
        ("colour", _expert("hyperpigmented brown"), _entry("red"), True),
        ("colour", _expert("purple"), _entry("red"), False),
        ("colour_variability", _entry("two colours"), _seen("many colours"), False),
        ("colour_variability", _entry("uniform colour"), _seen("many colours"), True),
        ("shape", _entry("oval", elongation=1.3), _seen("round"), False),
        ("shape", _entry("oval", elongation=1.6), _seen("round"), True),
        ("shape", _entry("oval"), _seen("irregular"), True),
        ("shape_variability", _entry("symmetric"), _seen("asymmetric in one axis"), False),
        ("shape_variability", _entry("symmetric"), _seen("asymmetric in two axes"), True),
        ("size", _entry("small", area_share=0.12), _seen("medium"), False),
        ("size", _entry("small", area_share=0.05), _seen("medium"), True),
        ("border", _entry("sharp border"), _entry(), False),
        ("border", _entry("smooth border", "sharp border"), _seen("blurred border"), True),
        ("border", _entry("smooth border"), _seen("blurred border"), False),
        ("elevation", _expert("flat"), _seen("dome-shaped"), True),
        ("patterns", _expert("typical network"), _seen("atypical network"), True),
        ("patient", _type("65 years"), _expert("60 years", "male"), False),
        ("patient", _type("65 years"), _expert("40 years"), True),
        ("patient", _type("female"), _expert("male"), True),
    ],
)
def test_when_two_sources_contradict(name, trusted, other, differs):
    assert (difference(name, trusted, other) is not None) is differs


def test_tones_far_apart_weigh_more():
    weights = []
    for word in ("tan", "dark"):
        _, findings = stack_reports([Report(skin_tone=_type("Fitzpatrick I")), Report(skin_tone=_entry(word, ita=1.0))])
        weights += [finding.weight for finding in findings]
    assert weights == [0.6, 1.0]


@pytest.mark.parametrize(
    ("name", "entry", "gone"),
    [
        ("patterns", _seen("typical network", "atypical network", "streaks"), ("typical network", "atypical network")),
        ("border", _seen("smooth border", "irregular border"), ("smooth border", "irregular border")),
        ("size", _seen("small", "large"), ("small", "large")),
        ("size", _entry("small", area_share=0.5), ("small",)),
        ("size", _entry("small", area_share=0.18), None),
        ("patterns", _expert("streaks", streaks=0.0), ("streaks",)),
        ("colour", _entry("red", "black"), None),
        ("elevation", _expert("macule", "nodule"), None),
    ],
)
def test_when_an_entry_contradicts_itself(name, entry, gone):
    assert [words for words, _ in within_entry(name, entry)] == ([gone] if gone else [])


@pytest.mark.parametrize(
    ("report", "loser"),
    [
        (Report(colour=_seen("red", "black", "white"), colour_variability=_seen("uniform colour")),
         "colour_variability"),
        (Report(colour=_seen("red", "black"), colour_variability=_entry("uniform colour")), "colour"),
        (Report(colour=_entry("red"), colour_variability=_entry("many colours")), "colour_variability"),
        (Report(colour=_expert("salmon"), colour_variability=_entry("many colours")), None),
        (Report(shape=_entry("irregular"), shape_variability=_entry("symmetric")), "shape"),
        (Report(shape=_entry("irregular"), shape_variability=_seen("symmetric")), "shape_variability"),
        (Report(elevation=_expert("flat"), additional=_expert("vesicle")), "elevation"),
        (Report(elevation=_expert("nodular"), additional=_expert("vesicle")), None),
    ],
)  # fmt: skip
def test_when_two_entries_contradict(report, loser):
    assert [name for name, _, _ in across_entries(report)] == ([loser] if loser else [])
