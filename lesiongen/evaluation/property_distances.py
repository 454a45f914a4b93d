"""How far two datasets are from one another, property by property."""

from collections.abc import Mapping
from dataclasses import dataclass

from lesiongen.errors import DataError
from lesiongen.evaluation.chance import chance_distances, distances
from lesiongen.evaluation.drift_config import DriftConfig
from lesiongen.evaluation.measured_images import MeasuredImages
from lesiongen.evaluation.measures.drift import CATEGORICAL, CATEGORICAL_METHOD, DECIMALS, NUMERIC_METHOD
from lesiongen.records.drift import PropertyDistance, Side

__all__ = ["Comparison", "compare_properties"]


@dataclass(frozen=True)
class Comparison:
    """Distances of the properties that two datasets record.

    Attributes:
        properties: Those furthest above their limit first; at least one.
        absent: Why the others are not compared: a part of a sentence.
    """

    properties: tuple[PropertyDistance, ...]
    absent: dict[str, str]

    @property
    def share_drifted(self) -> float:
        """The share of the compared properties that have drifted."""
        return sum(one.drifted for one in self.properties) / len(self.properties)


def compare_properties(config: DriftConfig, reference: MeasuredImages, current: MeasuredImages) -> Comparison:
    """Measures how far images are from those of a reference, and what chance makes of it.

    Args:
        config: The properties, the threshold and how chance is judged.
        reference: The images that are compared with.
        current: The images that are judged.

    Raises:
        DataError: No property is known of ``min_images`` in both.
    """
    sides: dict[Side, MeasuredImages] = {"reference": reference, "dataset": current}
    known: dict[str, dict[Side, int]] = {
        name: {side: int(one.table[name].notna().sum()) for side, one in sides.items()} for name in config.properties
    }
    absent = {name: why for name, counts in known.items() if (why := _why_absent(config, counts, sides))}
    kept = [name for name in config.properties if name not in absent]
    if not kept:
        raise DataError(
            f"{reference.source.uri} and {current.source.uri} have no property in common that can be compared",
            hint="; ".join(f"{name} is {why}" for name, why in absent.items()) + ".",
        )
    tables = reference.table[kept], current.table[kept]
    chance = chance_distances(
        tables,
        (reference.groups, current.groups),
        CATEGORICAL,
        percentile=config.chance_percentile,
        n_permutations=config.n_permutations,
        seed=config.seed,
    )
    found = [
        _judged(config, name, distance, chance[name], known[name])
        for name, distance in distances(tables, CATEGORICAL).items()
    ]
    return Comparison(tuple(sorted(found, key=_furthest_first)), absent)


def _why_absent(config: DriftConfig, known: Mapping[Side, int], sides: Mapping[Side, MeasuredImages]) -> str:
    """Returns why a property cannot be compared; nothing where it can."""
    missing = [sides[side].source.uri for side, count in known.items() if not count]
    reasons = [f"not recorded in {' and '.join(missing)}"] if missing else []
    reasons += [
        f"known of {count} images of {sides[side].source.uri}, fewer than min_images ({config.min_images})"
        for side, count in known.items()
        if 0 < count < config.min_images
    ]
    return " and ".join(reasons)


def _judged(config: DriftConfig, name: str, distance: float, chance: float, known: dict[Side, int]) -> PropertyDistance:
    # Of few categories the same distance is found again and again, but for the last digits.
    distance, chance = round(distance, DECIMALS), round(chance, DECIMALS)
    return PropertyDistance(
        name=name,
        method=CATEGORICAL_METHOD if name in CATEGORICAL else NUMERIC_METHOD,
        distance=distance,
        chance=chance,
        limit=max(config.threshold, chance),
        drifted=distance >= config.threshold and distance > chance,
        known=known,
    )


def _furthest_first(one: PropertyDistance) -> float:
    return -(one.distance or 0.0) / (one.limit or 1.0)
