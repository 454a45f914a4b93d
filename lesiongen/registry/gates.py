"""Whether a generator may be released: a pure function of its evaluation and of the gates' limits.

The default limits ask that a classifier trained on real images has learnt to distinguish the classes, and that one
trained on real and synthetic images together is not worse by more than a margin, neither on the whole nor for the
worst group; that synthetic images show what their captions ask for more than chance would have it, and that hardly
more of them than of held-out real images are near copies of a training image; that the generator was trained on no
validation or test image and hardly any test image occurs in another split; and that the numbers rest on enough seeds,
lesions and held-out images. A number that is missing holds the release.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from lesiongen.config import StageConfig, parse_config, parse_yaml
from lesiongen.errors import UsageError
from lesiongen.records.comparison_names import BOTH_VS_REAL, WORST_GROUP_BOTH_VS_REAL
from lesiongen.records.decision import Decision, Outcome, Reason
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import Contamination
from lesiongen.records.memorisation import CopySearch
from lesiongen.records.scores import Comparison, SubgroupScore
from lesiongen.sample_sizes import MIN_HELD_OUT_IMAGES

__all__ = ["Gates", "decide", "load_gates"]


SEVERITY = {Outcome.PROMOTE: 0, Outcome.HOLD: 1, Outcome.REJECT: 2}


class Gates(StageConfig):
    """The limits of a release. A limit of null switches its gate off, which the decision then says.

    Attributes:
        min_above_chance: How far above chance the low end of the balanced accuracy from real images has to lie; without
            that, no comparison with it says anything.
        max_accuracy_drop: How much balanced accuracy training on both may lose against training on real images.
        max_worst_group_drop: The same for the recall of the worst group, which the evaluation names beforehand.
        min_concept_fidelity: What the low end of concept fidelity has to exceed: how far what is measured on synthetic
            images follows their captions, as a share of what real images of these captions reach. Above 0, captions
            have an effect beyond the diagnosis.
        max_copies_above_chance: By how much the share of synthetic images that are near copies of a training image, by
            any of the descriptors, may exceed that of held-out real images. The interval of the difference decides.
        min_held_out: Smallest number of real validation images behind the thresholds, and of test images behind chance.
        max_leaked_images: Largest number of validation and test images that the generator may have been trained on.
        max_repeated: Largest share of the test images that occur elsewhere. The numbers leave them out; many of them
            say that the splits are not what they should be.
        min_seeds: Smallest number of trained classifiers behind each number.
        min_test_lesions: Smallest number of lesions in the real test split.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "margin": "max_accuracy_drop",
        "max_contaminated": "max_leaked_images",
        "max_near_copies": "max_copies_above_chance",
        "worst_group_margin": "max_worst_group_drop",
    }

    min_above_chance: float | None = Field(0.0, ge=0, le=1)
    max_accuracy_drop: float | None = Field(0.02, ge=0, le=1)
    max_worst_group_drop: float | None = Field(0.05, ge=0, le=1)
    min_concept_fidelity: float | None = Field(0.0, ge=0, lt=1)
    max_copies_above_chance: float | None = Field(0.03, ge=0, le=1)
    min_held_out: int | None = Field(MIN_HELD_OUT_IMAGES, ge=1)
    max_leaked_images: int | None = Field(0, ge=0)
    max_repeated: float | None = Field(0.02, ge=0, le=1)
    min_seeds: int | None = Field(5, ge=1)
    min_test_lesions: int | None = Field(100, ge=1)


def load_gates(path: str | Path) -> Gates:
    """Reads the gates' limits from a YAML file; what it leaves out keeps the default.

    Raises:
        UsageError: The file is absent, is not a mapping, or holds an unknown field or a wrong value.
    """
    try:
        values = parse_yaml(Path(path).read_text(encoding="utf-8"), f"The gates file {path}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The gates file {path} cannot be read: {error}") from error
    if not isinstance(values, Mapping):
        raise UsageError(
            f"The gates file {path} must map limits to values.", hint="For example: max_accuracy_drop: 0.02"
        )
    return parse_config(Gates, values)


def decide(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Decision:
    """Weighs an evaluation against the limits of the gates.

    A missing, infinite or undefined number never promotes. Worse numbers never give a better outcome.

    Args:
        evaluation: The evaluation.
        contamination: Evaluated images that the generator was trained on; None where that is not known.
        gates: The limits.

    >>> decision = decide(EvaluationRecord(), None, Gates())
    >>> decision.outcome.value, decision.reasons[0].line[:45]
    ('HOLD', 'classifier held: The evaluation does not hold')
    """
    reasons = tuple(gate(evaluation, contamination, gates) for gate in GATES)
    outcome = max((reason.outcome for reason in reasons), key=SEVERITY.__getitem__)
    return Decision(outcome=outcome, reasons=reasons)


def _classifier(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Reason:
    gate, above = "classifier", gates.min_above_chance
    if above is None:
        return _off(gate)
    real = evaluation.scores("real")
    low = real.balanced_accuracy.low
    tested = [each for each in real.per_class.values() if each.n is not None and each.n > 0]
    if low is None or not tested:
        return _missing(gate, "utility: balanced_accuracy and per_class of real")
    chance = 1 / len(tested)  # balanced accuracy is a mean over the classes that were tested, no others
    numbers = f"Trained on real images, balanced accuracy is at least {low:.3f}; chance is {chance:.3f}"
    if low <= chance + above:
        return _held(gate, f"{numbers}: the classifier has not learned enough to compare with.")
    return _passed(gate, f"{numbers}.")


def _utility(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Reason:
    gate, margin = "utility", gates.max_accuracy_drop
    if margin is None:
        return _off(gate)
    found = _comparison(evaluation, str(BOTH_VS_REAL), BOTH_VS_REAL.metric)
    if found is None or found.difference is None or found.low is None or found.high is None:
        return _missing(gate, "comparisons: balanced_accuracy of both against real, with its interval")
    numbers = (
        f"Trained on real and synthetic images instead of real ones alone, balanced accuracy changes by "
        f"{found.difference:+.3f} (interval {found.low:+.3f} to {found.high:+.3f}); a change of {-margin:+.3f} is "
        "allowed"
    )
    if found.high < -margin:
        return _failed(gate, f"{numbers}: clearly worse.")
    if found.low < -margin:
        return _held(gate, f"{numbers}: not certain enough.")
    if found.low == found.high:
        return _held(
            gate, f"{numbers}: the interval has no width. Both classifiers predict alike; nothing is measured."
        )
    return _passed(gate, f"{numbers}.")


def _worst_group(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Reason:
    gate, margin = "worst group", gates.max_worst_group_drop
    if margin is None:
        return _off(gate)
    conditions = evaluation.scores("real"), evaluation.scores("both")
    if all("worst_group" in each.model_fields_set and each.worst_group is None for each in conditions):
        return _held(gate, _no_group(evaluation))
    real, both = (each.worst_group or SubgroupScore() for each in conditions)
    if real.recall is None or real.low is None or both.recall is None or both.high is None:
        return _missing(gate, "utility: the worst group of real and of both, with their intervals")
    paired = _comparison(evaluation, str(WORST_GROUP_BOTH_VS_REAL), WORST_GROUP_BOTH_VS_REAL.metric)
    if paired is not None:
        return _paired_worst_group(gate, margin, real, both, paired)
    numbers = (
        f"The worst group ({_group(both)}) reaches a recall of {both.recall:.3f} from both, the worst from real images "
        f"({_group(real)}) {real.recall:.3f}; a change of {-margin:+.3f} is allowed"
    )
    if both.high < real.low - margin:
        return _failed(gate, f"{numbers}: clearly worse, as the intervals are further apart.")
    if both.recall < real.recall - margin:
        return _held(gate, f"{numbers}: worse, though within what chance allows.")
    return _passed(gate, f"{numbers}.")


def _paired_worst_group(
    gate: str, margin: float, real: SubgroupScore, both: SubgroupScore, found: Comparison
) -> Reason:
    """Judges the paired difference; evaluations of earlier releases hold none of one and the same group."""
    if found.difference is None or found.low is None or found.high is None:
        return _missing(gate, "comparisons: recall of the worst group from both against real, with its interval")
    numbers = (
        f"In the worst group ({_group(real)}) recall changes from {real.recall:.3f} from real images to "
        f"{both.recall:.3f} from both, by {found.difference:+.3f} (interval {found.low:+.3f} to {found.high:+.3f}); a "
        f"change of {-margin:+.3f} is allowed"
    )
    if found.high < -margin:
        return _failed(gate, f"{numbers}: clearly worse.")
    if found.difference < -margin:
        return _held(gate, f"{numbers}: worse, though within what chance allows.")
    return _passed(gate, f"{numbers}.")


def _concepts(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Reason:
    gate, least, found = "concepts", gates.min_concept_fidelity, evaluation.concept_fidelity
    if least is None:
        return _off(gate)
    if found is None:
        return _missing(gate, "concept_fidelity: fidelity and its interval")
    low = found.fidelity.low
    if found.fidelity.value is None or low is None:
        return _held(gate, f"Concept fidelity is not known. {found.not_computed}".rstrip())
    numbers = (
        f"What is measured on the synthetic images follows their captions by {found.fidelity.value:.2f} of what real "
        f"images of these captions reach (interval from {low:.2f}); the interval has to lie above {least:.2f}"
    )
    if low <= least:
        return _held(gate, f"{numbers}: not certain enough.")
    return _passed(gate, f"{numbers}.")


def _memorisation(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Reason:
    gate, limit, found = "memorisation", gates.max_copies_above_chance, evaluation.memorisation.search
    if limit is None:
        return _off(gate)
    difference, low, high = found.above_chance, found.above_chance_low, found.above_chance_high
    share, n_synthetic, chance, held_out = (
        found.synthetic.share,
        found.synthetic.n,
        found.held_out.share,
        found.held_out.n,
    )
    if difference is None or low is None or high is None or share is None or chance is None or held_out is None:
        return _missing(gate, "memorisation: search, with shares and interval; run evaluate again")
    numbers = (
        f"{share:.1%} of {n_synthetic} synthetic and {chance:.1%} of {held_out} held-out real images are near copies "
        f"of a training image, a difference of {difference:+.1%} (interval {low:+.1%} to {high:+.1%}); {limit:+.1%} is "
        "allowed"
    )
    if low > limit:
        return _failed(gate, f"{numbers}: the generator repeats patients' images.")
    if high > limit:
        return _held(gate, f"{numbers}: not certain enough. {_more_images(found, limit)}")
    calibration = held_out if found.n_calibration is None else found.n_calibration
    if gates.min_held_out is not None and min(calibration, held_out) < gates.min_held_out:
        numbers += (
            f". {calibration:.0f} validation images set the thresholds and {held_out:.0f} test images tell chance"
        )
        return _held(gate, f"{numbers}: {gates.min_held_out} of each are required.")
    return _passed(gate, f"{numbers}.")


def _more_images(found: CopySearch, limit: float) -> str:
    """Says how many images would decide, were the shares to stay: intervals narrow by the square root of the number."""
    synthetic, held_out = found.synthetic, found.held_out
    room = limit - (found.above_chance or 0.0)
    chance_part = (held_out.share or 0.0) - (held_out.low or 0.0)
    if room <= 0:
        return "The share itself is above the limit."
    if room <= chance_part:
        return "More held-out images are needed: they say what chance is."
    part = (synthetic.high or 0.0) - (synthetic.share or 0.0)
    needed = (synthetic.n or 0) * part**2 / (room**2 - chance_part**2)
    return f"About {math.ceil(needed / 100) * 100} synthetic images are needed, should the share stay as it is."


def _contamination(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Reason:
    gate, limit = "contamination", gates.max_leaked_images
    if limit is None:
        return _off(gate)
    if contamination is None or contamination.validation is None or contamination.test is None:
        return _held(gate, "It is not known whether the generator was trained on validation or test images.")
    validation, test = contamination.validation, contamination.test
    message = (
        f"{validation} validation and {test} test images are among those that the generator was trained on; "
        f"at most {limit} are allowed."
    )
    return _failed(gate, message) if validation + test > limit else _passed(gate, message)


def _repeated(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Reason:
    gate, limit, counts = "repeated test images", gates.max_repeated, evaluation.counts
    if limit is None:
        return _off(gate)
    repeated, tested = counts.test_excluded, counts.test.n
    if repeated is None or tested is None:
        return _missing(gate, "counts: test_excluded and test.n")
    share = repeated / (repeated + tested) if repeated > 0 else 0.0
    message = (
        f"{repeated} test images ({share:.1%}) were left out because their pixels also occur among the training, "
        f"validation or synthetic images; at most {limit:.1%} is allowed."
    )
    return _held(gate, message) if share > limit else _passed(gate, message)


def _seeds(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Reason:
    gate, least = "seeds", gates.min_seeds
    if least is None:
        return _off(gate)
    compared = evaluation.scores("real"), evaluation.scores("both")
    fewest = min(len(scores.balanced_accuracy.per_seed) for scores in compared)
    message = f"Classifiers of different seeds behind each number: {fewest}; at least {least} are required."
    return _held(gate, message) if fewest < least else _passed(gate, message)


def _test_lesions(evaluation: EvaluationRecord, contamination: Contamination | None, gates: Gates) -> Reason:
    gate, least, lesions = "test lesions", gates.min_test_lesions, evaluation.counts.test_lesions
    if least is None:
        return _off(gate)
    if lesions is None:
        return _missing(gate, "counts: test_lesions")
    message = f"The real test split holds {lesions} lesions; at least {least} are required."
    return _held(gate, message) if lesions < least else _passed(gate, message)


GATES: tuple[Callable[[EvaluationRecord, Contamination | None, Gates], Reason], ...] = (
    _classifier,
    _utility,
    _worst_group,
    _concepts,
    _memorisation,
    _contamination,
    _repeated,
    _seeds,
    _test_lesions,
)


def _passed(gate: str, message: str) -> Reason:
    return Reason(gate=gate, outcome=Outcome.PROMOTE, message=message)


def _held(gate: str, message: str) -> Reason:
    return Reason(gate=gate, outcome=Outcome.HOLD, message=message)


def _failed(gate: str, message: str) -> Reason:
    return Reason(gate=gate, outcome=Outcome.REJECT, message=message)


def _off(gate: str) -> Reason:
    return _passed(gate, "Switched off.")


def _missing(gate: str, what: str) -> Reason:
    return _held(gate, f"The evaluation does not hold the numbers of this gate ({what}).")


def _comparison(evaluation: EvaluationRecord, name: str, metric: str) -> Comparison | None:
    return next((each for each in evaluation.comparisons if (each.name, each.metric) == (name, metric)), None)


def _no_group(evaluation: EvaluationRecord) -> str:
    if evaluation.worst_group.explanation:
        return evaluation.worst_group.explanation
    least = evaluation.config.get("min_group")
    needed = f"; {least} test images of a group are needed" if isinstance(least, int) else ""
    return f"No group of patients in the test split is large enough to be judged{needed}."


def _group(worst: SubgroupScore) -> str:
    return f"{worst.column} {worst.group}, {worst.n} images"
