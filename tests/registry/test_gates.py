"""The gates: pure, strict about missing numbers, and monotonic."""

import copy
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lesiongen.errors import UsageError
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import Contamination
from lesiongen.registry import Gates, Outcome, decide, load_gates

SEVERITY = {Outcome.PROMOTE: 0, Outcome.HOLD: 1, Outcome.REJECT: 2}
GATES = Gates()


def evaluation(
    difference=(0.01, -0.01, 0.03),
    worst_real=(0.50, 0.40, 0.60),
    worst_both=(0.52, 0.42, 0.62),
    concepts=(0.4, 0.3, 0.5),
    share=0.0,
    held_out=150,
    calibration=150,
    contaminated=(0, 0),
    excluded=0,
    seeds=5,
    lesions=300,
    learnt=0.5,
):
    def condition(worst):
        recall, low, high = worst
        group = {"column": "skin_tone", "group": "dark", "n": 31, "recall": recall, "low": low, "high": high}
        classes = {"mel": {"n": 9}, "nv": {"n": 300}, "bcc": {"n": 91}, "vasc": {"n": 0}}
        balanced = {"mean": 0.6, "low": learnt, "per_seed": [0.6] * seeds}
        return {"balanced_accuracy": balanced, "per_class": classes, "worst_group": group}

    middle, low, high = difference
    followed = dict(zip(("value", "low", "high"), concepts, strict=True))
    compared = {"name": "both vs real", "metric": "balanced_accuracy", "difference": middle, "low": low, "high": high}
    return {
        "config": {"min_group": 20},
        "utility": {"real": condition(worst_real), "both": condition(worst_both)},
        "comparisons": [{"name": "synthetic vs real", "metric": "balanced_accuracy", "low": -1.0}, compared],
        "concept_fidelity": {"fidelity": followed},
        "memorisation": {
            "search": {
                "synthetic": {"share": 0.01 + share, "n": 700, "high": 0.02 + share},
                "held_out": {"share": 0.01, "n": held_out, "low": 0.003},
                "n_calibration": calibration,
                "above_chance": share,
                "above_chance_low": share - 0.01,
                "above_chance_high": share + 0.012,
            }
        },
        "contamination": {"validation": contaminated[0], "test": contaminated[1]},
        "counts": {"test": {"n": 400}, "test_lesions": lesions, "test_excluded": excluded},
    }


def decided(document, gates=GATES):
    """Decides on a document as `promote` reads it: the contamination comes from the registry."""
    document = copy.deepcopy(document)
    seen = document.pop("contamination", None)
    return decide(EvaluationRecord.read(document), None if seen is None else Contamination.read(seen), gates)


def reason(decision, gate):
    return next(each for each in decision.reasons if each.gate == gate)


def test_good_numbers_are_promoted_with_a_reason_for_every_gate():
    decision = decided(evaluation(), GATES)
    assert decision.outcome is Outcome.PROMOTE
    gates = [
        "classifier",
        "utility",
        "worst group",
        "concepts",
        "memorisation",
        "contamination",
        "repeated test images",
        "seeds",
        "test lesions",
    ]
    assert [each.gate for each in decision.reasons] == gates
    assert all(each.passed for each in decision.reasons)


@pytest.mark.parametrize(
    ("changed", "gate", "outcome", "numbers"),
    [
        ({"learnt": 0.33}, "classifier", Outcome.HOLD, ["0.330", "0.333"]),  # three of the four classes were tested
        ({"difference": (-0.01, -0.05, 0.03)}, "utility", Outcome.HOLD, ["-0.010", "-0.050", "+0.030", "-0.020"]),
        ({"difference": (-0.08, -0.12, -0.03)}, "utility", Outcome.REJECT, ["-0.080", "-0.120", "-0.030"]),
        ({"difference": (0.0, 0.0, 0.0)}, "utility", Outcome.HOLD, ["no width", "+0.000"]),
        ({"worst_both": (0.40, 0.30, 0.50)}, "worst group", Outcome.HOLD, ["0.400", "0.500", "dark", "31"]),
        ({"worst_both": (0.20, 0.10, 0.30)}, "worst group", Outcome.REJECT, ["0.200", "0.500"]),
        ({"concepts": (0.05, 0.0, 0.1)}, "concepts", Outcome.HOLD, ["0.05", "0.00"]),
        ({"share": 0.05}, "memorisation", Outcome.REJECT, ["6.0% of 700", "+5.0%", "+4.0% to +6.2%", "+3.0%"]),
        (
            {"share": 0.02},
            "memorisation",
            Outcome.HOLD,
            ["+1.0% to +3.2%", "not certain", "About 1400 synthetic images"],
        ),
        ({"share": 0.035}, "memorisation", Outcome.HOLD, ["+3.5%", "above the limit"]),
        ({"share": 0.025}, "memorisation", Outcome.HOLD, ["More held-out images"]),
        ({"held_out": 40}, "memorisation", Outcome.HOLD, ["40 held-out", "100 of each"]),
        ({"calibration": 40}, "memorisation", Outcome.HOLD, ["40 validation images set the thresholds", "100 of each"]),
        ({"contaminated": (0, 2)}, "contamination", Outcome.REJECT, ["0 validation", "2 test"]),
        ({"contaminated": (1, 0)}, "contamination", Outcome.REJECT, ["1 validation"]),
        ({"excluded": 100}, "repeated test images", Outcome.HOLD, ["100 test images", "20.0%", "2.0%"]),
        ({"seeds": 2}, "seeds", Outcome.HOLD, ["2", "5"]),
        ({"lesions": 60}, "test lesions", Outcome.HOLD, ["60", "100"]),
    ],
)
def test_every_gate_stops_a_release_and_says_with_which_numbers(changed, gate, outcome, numbers):
    decision = decided(evaluation(**changed), GATES)
    assert decision.outcome is outcome
    assert [each.gate for each in decision.reasons if not each.passed] == [gate]
    for number in numbers:
        assert number in reason(decision, gate).message


def test_the_strictest_gate_decides():
    decision = decided(evaluation(difference=(-0.01, -0.05, 0.03), share=0.5), GATES)
    assert decision.outcome is Outcome.REJECT


def test_without_a_group_large_enough_the_reason_says_so_and_how_many_are_needed():
    ungrouped = evaluation()
    for condition in ("real", "both"):
        ungrouped["utility"][condition]["worst_group"] = None
    found = reason(decided(ungrouped), "worst group")
    assert found.outcome is Outcome.HOLD
    assert found.message.endswith("large enough to be judged; 20 test images of a group are needed.")
    found = reason(decided(ungrouped | {"config": {}}), "worst group")
    assert found.message == "No group of patients in the test split is large enough to be judged."
    del ungrouped["utility"]["both"]["worst_group"]
    assert "does not hold the numbers" in reason(decided(ungrouped, GATES), "worst group").message


def paired(difference, low, high):
    compared = {"name": "both vs real, worst group", "metric": "recall"}
    document = evaluation(worst_both=(0.20, 0.10, 0.30))  # which the paired difference overrules
    document["comparisons"].append({**compared, "difference": difference, "low": low, "high": high})
    return document


@pytest.mark.parametrize(
    ("difference", "outcome"),
    [
        ((0.01, -0.09, 0.10), Outcome.PROMOTE),
        ((-0.05, -0.09, -0.01), Outcome.PROMOTE),
        ((-0.06, -0.10, -0.02), Outcome.HOLD),
        ((-0.09, -0.12, -0.06), Outcome.REJECT),
        ((None, -0.09, 0.10), Outcome.HOLD),
        ((0.01, None, 0.10), Outcome.HOLD),
        ((0.01, -0.09, None), Outcome.HOLD),
    ],
)
def test_the_paired_difference_in_the_worst_group_decides_where_there_is_one(difference, outcome):
    decision = decided(paired(*difference))
    assert decision.outcome is outcome
    message = reason(decision, "worst group").message
    if None not in difference:
        assert f"by {difference[0]:+.3f} (interval {difference[1]:+.3f} to {difference[2]:+.3f})" in message


def test_why_no_worst_group_is_claimed_is_the_reason():
    ungrouped = evaluation()
    for condition in ("real", "both"):
        ungrouped["utility"][condition]["worst_group"] = None
    why = "No worst group is claimed: no group of patients has 100 test images (min_worst_group)."
    found = reason(decided(ungrouped | {"worst_group": {"explanation": why}}), "worst group")
    assert (found.outcome, found.message) == (Outcome.HOLD, why)


def test_a_count_below_zero_is_no_tested_class():
    damaged = evaluation(learnt=0.3)
    damaged["utility"]["real"]["per_class"] |= {"df": {"n": -1}, "akiec": {"n": -2}}
    assert reason(decided(damaged), "classifier").outcome is Outcome.HOLD


LEAVES = [
    ("comparisons", 1, "difference"),
    ("comparisons", 1, "low"),
    ("comparisons", 1, "high"),
    ("utility", "real", "per_class"),
    ("utility", "real", "balanced_accuracy", "low"),
    ("utility", "real", "worst_group", "recall"),
    ("utility", "real", "worst_group", "low"),
    ("utility", "both", "worst_group", "recall"),
    ("utility", "both", "worst_group", "high"),
    ("utility", "both", "worst_group"),
    ("utility", "real", "balanced_accuracy", "per_seed"),
    ("memorisation",),
    ("memorisation", "search"),
    ("memorisation", "search", "synthetic", "share"),
    ("memorisation", "search", "held_out", "share"),
    ("memorisation", "search", "held_out", "n"),
    ("memorisation", "search", "above_chance"),
    ("memorisation", "search", "above_chance_low"),
    ("memorisation", "search", "above_chance_high"),
    ("contamination",),
    ("contamination", "validation"),
    ("contamination", "test"),
    ("counts", "test_excluded"),
    ("counts", "test", "n"),
    ("counts", "test_lesions"),
    ("concept_fidelity",),
    ("concept_fidelity", "fidelity"),
    ("concept_fidelity", "fidelity", "value"),
    ("concept_fidelity", "fidelity", "low"),
    ("comparisons",),
    ("utility",),
]


@pytest.mark.parametrize("path", LEAVES, ids=str)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.01", True, 10**400], ids=lambda value: repr(value)[:8])
def test_a_number_that_is_missing_or_none_holds_and_never_promotes(path, value):
    damaged = copy.deepcopy(evaluation())
    holder = damaged
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    assert decided(damaged, GATES).outcome is Outcome.HOLD


def test_a_generator_of_which_nobody_knows_what_it_saw_is_held_with_the_reason():
    unknown = evaluation() | {"contamination": None}
    assert reason(decided(unknown, GATES), "contamination").message.startswith("It is not known whether the generator")


@pytest.mark.parametrize("nothing", [{}, {"utility": []}, {"comparisons": "none", "counts": 3}])
def test_an_evaluation_of_another_shape_holds(nothing):
    decision = decided(nothing, GATES)
    assert decision.outcome is Outcome.HOLD
    assert not any(each.passed for each in decision.reasons)


def test_without_concept_fidelity_a_release_is_held_with_the_reason_unless_the_gate_is_off():
    unasked = evaluation()
    unasked["concept_fidelity"] = {"not_computed": "The captions ask for no concept."}
    found = reason(decided(unasked), "concepts")
    assert (found.outcome, found.message) == (
        Outcome.HOLD,
        "Concept fidelity is not known. The captions ask for no concept.",
    )
    earlier = evaluation()
    del earlier["concept_fidelity"]
    assert "does not hold the numbers" in reason(decided(earlier), "concepts").message
    assert decided(earlier, Gates(min_concept_fidelity=None)).outcome is Outcome.PROMOTE
    assert decided(evaluation(), Gates(min_concept_fidelity=0.35)).outcome is Outcome.HOLD


shares = st.floats(0, 1)
intervals = st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(sorted)
worse = st.floats(0, 0.5)


@st.composite
def evaluations(draw):
    low, middle, high = draw(intervals)
    (rl, rm, rh), (bl, bm, bh) = draw(intervals), draw(intervals)
    return {
        "difference": (middle, low, high),
        "worst_real": (rm, rl, rh),
        "worst_both": (bm, bl, bh),
        "concepts": draw(intervals.map(lambda each: (each[1], each[0], each[2]))),
        "share": draw(shares),
        "held_out": draw(st.integers(0, 200)),
        "contaminated": (draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        "excluded": draw(st.integers(0, 50)),
        "seeds": draw(st.integers(0, 8)),
        "lesions": draw(st.integers(0, 500)),
    }


@given(evaluations(), st.data())
def test_worse_numbers_never_give_a_better_outcome(numbers, data):
    loss = data.draw(worse)
    changed = {
        "difference": tuple(value - loss for value in numbers["difference"]),
        "worst_both": tuple(value - loss for value in numbers["worst_both"]),
        "concepts": tuple(value - loss for value in numbers["concepts"]),
        "share": min(1.0, numbers["share"] + loss),
        "held_out": max(0, numbers["held_out"] - data.draw(st.integers(0, 200))),
        "contaminated": tuple(count + data.draw(st.integers(0, 2)) for count in numbers["contaminated"]),
        "excluded": numbers["excluded"] + data.draw(st.integers(0, 50)),
        "seeds": max(0, numbers["seeds"] - data.draw(st.integers(0, 3))),
        "lesions": max(0, numbers["lesions"] - data.draw(st.integers(0, 200))),
    }
    spoiled = data.draw(st.sets(st.sampled_from(sorted(changed)), min_size=1))
    before = decided(evaluation(**numbers), GATES)
    after = decided(evaluation(**{**numbers, **{key: changed[key] for key in spoiled}}), GATES)
    assert SEVERITY[after.outcome] >= SEVERITY[before.outcome]


@given(evaluations(), st.floats(0, 0.2), st.floats(0, 0.5))
def test_stricter_gates_never_give_a_better_outcome(numbers, margin, tighter):
    found = evaluation(**numbers)
    loose = Gates(
        max_accuracy_drop=margin,
        max_worst_group_drop=margin,
        max_copies_above_chance=margin,
        min_seeds=2,
        min_test_lesions=10,
    )
    strict_margin = max(0.0, margin - tighter)
    strict = Gates(
        max_accuracy_drop=strict_margin,
        max_worst_group_drop=strict_margin,
        max_copies_above_chance=strict_margin,
        min_seeds=4,
        min_test_lesions=50,
    )
    assert SEVERITY[decided(found, strict).outcome] >= SEVERITY[decided(found, loose).outcome]


def test_a_gate_that_is_switched_off_says_so():
    gates = Gates(max_worst_group_drop=None)
    decision = decided(evaluation(worst_both=(0.0, 0.0, 0.0)), gates)
    assert decision.outcome is Outcome.PROMOTE
    assert "Switched off" in reason(decision, "worst group").message


def test_a_gates_file_changes_what_it_names(tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump({"max_accuracy_drop": 0.1, "min_seeds": None}))
    assert load_gates(path) == Gates(max_accuracy_drop=0.1, min_seeds=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("margins: 0.1", "margins"),
        ("margin: 0.1", "unknown field margin; it is now called max_accuracy_drop"),
        ("max_accuracy_drop: -1", "max_accuracy_drop = -1"),
        ("- margin", "must map limits to values"),
        ("margin: [", "is not YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_gates_file_is_named(tmp_path, text, message):
    path = tmp_path / "gates.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_gates(path)
