"""Whether a generator may be released: a pure function of its evaluation and of a policy.

The default policy asks that a classifier trained on real images has learnt to tell the classes apart, and that one
trained on real and synthetic images together is not worse by more than a margin, neither on the whole nor for the
worst group; that few synthetic images are near copies of a training image; that the generator was trained on no
validation or test image and hardly any test image occurs in another split; and that the numbers rest on enough seeds,
lesions and held-out images. A number that is missing holds the release.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from lesiongen.config import StageConfig, parse_config, parse_yaml
from lesiongen.errors import UsageError

__all__ = ["Decision", "Outcome", "Policy", "Reason", "decide", "load_policy"]


class Outcome(StrEnum):
    """What a gate, or all gates together, say."""

    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    REJECT = "REJECT"


SEVERITY = {Outcome.PROMOTE: 0, Outcome.HOLD: 1, Outcome.REJECT: 2}


class Policy(StageConfig):
    """The limits of a release. A limit of null switches its gate off, which the decision then says.

    Attributes:
        min_above_chance: How far above chance the low end of the balanced accuracy from real images has to lie; without
            that, no comparison with it says anything.
        margin: How much balanced accuracy training on both may lose against training on real images.
        worst_group_margin: The same for the group that is served worst.
        max_near_copies: Largest share of synthetic images that may be closer to a real training image than held-out
            real images are (at the percentile that the evaluation states).
        min_held_out: Smallest number of held-out real images behind that percentile.
        max_contaminated: Largest number of validation and test images that the generator may have been trained on.
        max_repeated: Largest share of the test images that occur elsewhere. The numbers leave them out; many of them
            say that the splits are not what they should be.
        min_seeds: Smallest number of trained classifiers behind each number.
        min_test_lesions: Smallest number of lesions in the real test split.
    """

    min_above_chance: float | None = Field(0.0, ge=0, le=1)
    margin: float | None = Field(0.02, ge=0, le=1)
    worst_group_margin: float | None = Field(0.05, ge=0, le=1)
    max_near_copies: float | None = Field(0.05, ge=0, le=1)
    min_held_out: int | None = Field(100, ge=1)
    max_contaminated: int | None = Field(0, ge=0)
    max_repeated: float | None = Field(0.02, ge=0, le=1)
    min_seeds: int | None = Field(5, ge=1)
    min_test_lesions: int | None = Field(100, ge=1)


@dataclass(frozen=True)
class Reason:
    """What one gate found: its outcome, and the numbers that led to it."""

    gate: str
    outcome: Outcome
    message: str

    @property
    def passed(self) -> bool:
        """Whether this gate lets the release pass."""
        return self.outcome is Outcome.PROMOTE


@dataclass(frozen=True)
class Decision:
    """The outcome of all gates, which is that of the strictest, and every gate's reason."""

    outcome: Outcome
    reasons: tuple[Reason, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns the decision as plain values, for JSON."""
        reasons = [{**vars(reason), "outcome": reason.outcome.value} for reason in self.reasons]
        return {"outcome": self.outcome.value, "reasons": reasons}


def load_policy(path: str | Path) -> Policy:
    """Reads a policy from a YAML file; what it leaves out keeps the default.

    Raises:
        UsageError: The file is absent, is no mapping, or holds an unknown field or a wrong value.
    """
    try:
        values = parse_yaml(Path(path).read_text(encoding="utf-8"), f"The policy {path}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The policy {path} cannot be read: {error}") from error
    if not isinstance(values, Mapping):
        raise UsageError(f"The policy {path} must map limits to values.", hint="For example: margin: 0.02")
    return parse_config(Policy, values)


def decide(evaluation: Mapping[str, Any], policy: Policy) -> Decision:
    """Weighs an evaluation (the content of ``evaluation.json``, with ``contamination`` added) against a policy.

    A missing, infinite or undefined number never promotes. Worse numbers never give a better outcome.
    """
    reasons = tuple(gate(evaluation, policy) for gate in GATES)
    return Decision(max((reason.outcome for reason in reasons), key=SEVERITY.__getitem__), reasons)


def _learnt(evaluation: Mapping[str, Any], policy: Policy) -> Reason:
    gate, above = "learnt", policy.min_above_chance
    if above is None:
        return _off(gate)
    real = _at(evaluation, "utility", "real")
    classes, low = _at(real, "per_class"), _number(_at(real, "balanced_accuracy"), "low")
    tested = (
        [each for each in classes.values() if (_number(each, "n") or 0) > 0] if isinstance(classes, Mapping) else []
    )
    if low is None or not tested:
        return _missing(gate, "utility: balanced_accuracy and per_class of real")
    chance = 1 / len(tested)  # balanced accuracy is a mean over the classes that were tested, no others
    numbers = f"Trained on real images, balanced accuracy is at least {low:.3f}; chance is {chance:.3f}"
    if low <= chance + above:
        return Reason(gate, Outcome.HOLD, f"{numbers}: the classifier has not learnt enough to compare with.")
    return Reason(gate, Outcome.PROMOTE, f"{numbers}.")


def _utility(evaluation: Mapping[str, Any], policy: Policy) -> Reason:
    gate, margin = "utility", policy.margin
    if margin is None:
        return _off(gate)
    found = _comparison(evaluation, "both vs real", "balanced_accuracy")
    difference, low, high = (_number(found, key) for key in ("difference", "low", "high"))
    if difference is None or low is None or high is None:
        return _missing(gate, "comparisons: balanced_accuracy of both against real, with its interval")
    numbers = (
        f"Trained on real and synthetic images instead of real ones alone, balanced accuracy changes by "
        f"{difference:+.3f} (interval {low:+.3f} to {high:+.3f}); a change of {-margin:+.3f} is allowed"
    )
    if high < -margin:
        return Reason(gate, Outcome.REJECT, f"{numbers}: clearly worse.")
    if low < -margin:
        return Reason(gate, Outcome.HOLD, f"{numbers}: not certain enough.")
    return Reason(gate, Outcome.PROMOTE, f"{numbers}.")


def _worst_group(evaluation: Mapping[str, Any], policy: Policy) -> Reason:
    gate, margin = "worst group", policy.worst_group_margin
    if margin is None:
        return _off(gate)
    real, both = (_at(evaluation, "utility", condition, "worst_group") for condition in ("real", "both"))
    if all(_is_none(_at(evaluation, "utility", condition), "worst_group") for condition in ("real", "both")):
        return Reason(gate, Outcome.HOLD, _no_group(evaluation))
    before, before_low = _number(real, "recall"), _number(real, "low")
    after, after_high = _number(both, "recall"), _number(both, "high")
    if before is None or before_low is None or after is None or after_high is None:
        return _missing(gate, "utility: the worst group of real and of both, with their intervals")
    numbers = (
        f"The worst group ({_group(both)}) reaches a recall of {after:.3f} from both, the worst from real images "
        f"({_group(real)}) {before:.3f}; a change of {-margin:+.3f} is allowed"
    )
    if after_high < before_low - margin:
        return Reason(gate, Outcome.REJECT, f"{numbers}: clearly worse, as the intervals are further apart.")
    if after < before - margin:
        return Reason(gate, Outcome.HOLD, f"{numbers}: worse, though within what chance allows.")
    return Reason(gate, Outcome.PROMOTE, f"{numbers}.")


def _memorisation(evaluation: Mapping[str, Any], policy: Policy) -> Reason:
    gate, limit, found = "memorisation", policy.max_near_copies, _at(evaluation, "memorisation")
    if limit is None:
        return _off(gate)
    share, threshold, held_out = (_number(found, key) for key in ("share_above", "threshold", "n_held_out"))
    if share is None or threshold is None or held_out is None:
        return _missing(gate, "memorisation: share_above, threshold and n_held_out")
    numbers = (
        f"{share:.1%} of the synthetic images are nearer to a real training image than {threshold:.3f}, the limit set "
        f"by {held_out:.0f} held-out images; at most {limit:.1%} is allowed"
    )
    if share > limit:
        return Reason(gate, Outcome.REJECT, f"{numbers}: the generator repeats patients' images.")
    if policy.min_held_out is not None and held_out < policy.min_held_out:
        return Reason(gate, Outcome.HOLD, f"{numbers}. {policy.min_held_out} held-out images are required.")
    return Reason(gate, Outcome.PROMOTE, f"{numbers}.")


def _contamination(evaluation: Mapping[str, Any], policy: Policy) -> Reason:
    gate, limit, found = "contamination", policy.max_contaminated, _at(evaluation, "contamination")
    if limit is None:
        return _off(gate)
    validation, test = _number(found, "validation"), _number(found, "test")
    if validation is None or test is None:
        return _missing(gate, "what the generator was trained on")
    message = (
        f"{validation:.0f} validation and {test:.0f} test images are among those that the generator was trained on; "
        f"at most {limit} are allowed."
    )
    return Reason(gate, Outcome.REJECT if validation + test > limit else Outcome.PROMOTE, message)


def _repeated(evaluation: Mapping[str, Any], policy: Policy) -> Reason:
    gate, limit, counts = "repeated test images", policy.max_repeated, _at(evaluation, "counts")
    if limit is None:
        return _off(gate)
    repeated, tested = _number(counts, "test_excluded"), _number(_at(counts, "test"), "n")
    if repeated is None or tested is None:
        return _missing(gate, "counts: test_excluded and test.n")
    share = repeated / (repeated + tested) if repeated > 0 else 0.0
    message = (
        f"{repeated:.0f} test images ({share:.1%}) were left out because their pixels also occur among the training, "
        f"validation or synthetic images; at most {limit:.1%} is allowed."
    )
    return Reason(gate, Outcome.HOLD if share > limit else Outcome.PROMOTE, message)


def _seeds(evaluation: Mapping[str, Any], policy: Policy) -> Reason:
    gate, least = "seeds", policy.min_seeds
    if least is None:
        return _off(gate)
    listed = [_at(evaluation, "utility", each, "balanced_accuracy", "per_seed") for each in ("real", "both")]
    fewest = min(len(values) if isinstance(values, list) else 0 for values in listed)
    message = f"{fewest} classifiers of different seeds were trained for each number; at least {least} are required."
    return Reason(gate, Outcome.HOLD if fewest < least else Outcome.PROMOTE, message)


def _test_lesions(evaluation: Mapping[str, Any], policy: Policy) -> Reason:
    gate, least = "test lesions", policy.min_test_lesions
    if least is None:
        return _off(gate)
    lesions = _number(_at(evaluation, "counts"), "test_lesions")
    if lesions is None:
        return _missing(gate, "counts: test_lesions")
    message = f"The real test split holds {lesions:.0f} lesions; at least {least} are required."
    return Reason(gate, Outcome.HOLD if lesions < least else Outcome.PROMOTE, message)


GATES: tuple[Callable[[Mapping[str, Any], Policy], Reason], ...] = (
    _learnt,
    _utility,
    _worst_group,
    _memorisation,
    _contamination,
    _repeated,
    _seeds,
    _test_lesions,
)


def _off(gate: str) -> Reason:
    return Reason(gate, Outcome.PROMOTE, "Switched off by the policy.")


def _missing(gate: str, what: str) -> Reason:
    return Reason(gate, Outcome.HOLD, f"The evaluation does not hold the numbers of this gate ({what}).")


def _at(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _number(value: object, key: str) -> float | None:
    found = _at(value, key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        number = float(found)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def _comparison(evaluation: Mapping[str, Any], name: str, metric: str) -> object:
    listed = _at(evaluation, "comparisons")
    for item in listed if isinstance(listed, list) else []:
        if _at(item, "name") == name and _at(item, "metric") == metric:
            return item
    return None


def _is_none(value: object, key: str) -> bool:
    return isinstance(value, Mapping) and key in value and value[key] is None


def _no_group(evaluation: Mapping[str, Any]) -> str:
    least = _number(_at(evaluation, "config"), "min_group")
    needed = "" if least is None else f"; {least:.0f} test images of a group are needed"
    return f"No group of patients in the test split is large enough to be judged{needed}."


def _group(worst: object) -> str:
    return f"{_at(worst, 'column')} {_at(worst, 'group')}, {_at(worst, 'n')} images"
