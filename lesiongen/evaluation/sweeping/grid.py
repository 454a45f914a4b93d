"""The candidates of a sweep, and the order from simple to complicated."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lesiongen.evaluation.sweeping.config import Filter, Mixing, SweepConfig, shown_numbers

__all__ = ["REAL_ALONE", "Setting", "grid"]

REAL_ALONE = "real alone"
_PROTOCOLS = ("concat", "curriculum", "minority", "separate-norm", "pretrain")
"""From one pool of images to two trainings, one after the other."""


@dataclass(frozen=True)
class Setting:
    """One way of using synthetic images.

    Attributes:
        sets: Names of the sets of synthetic images; several are pooled; none: real images alone.
        mixing: How they are mixed in; None for real images alone.
        filter: Which are kept.
    """

    sets: tuple[str, ...] = ()
    mixing: Mixing | None = None
    filter: Filter = Filter()

    @property
    def name(self) -> str:
        """The settings in words.

        >>> Setting(("g1", "g2"), Mixing(synthetic_fraction=0.25), Filter(keep=0.7)).name
        'g1 + g2, curriculum, synthetic_fraction 0.25, keep 0.7'
        """
        if self.mixing is None:
            return REAL_ALONE
        words = [" + ".join(self.sets), self.mixing.protocol]
        words += [f"{name} {value:.15g}" for name, value in shown_numbers(self.mixing.fields()).items()]
        words += [f"keep {self.filter.keep:.15g}"] if self.filter.keep < 1 else []
        words += ["near copies dropped"] if self.filter.drop_near_copies else []
        return ", ".join(words)

    @property
    def file(self) -> str:
        """Where what its classifiers predict is kept."""
        return f"candidates/{hashlib.sha256(self.name.encode()).hexdigest()[:16]}.json"

    def simplicity(self) -> tuple[Any, ...]:
        """Returns a key that sorts settings from simple to complicated.

        Real images alone come first. Then, in this order of weight: fewer kinds of filter (none, near copies dropped, a
        share kept, both), one set before a pool, the protocol with fewer parts, a smaller share or weight of synthetic
        images, a larger share kept; last the names of the sets, so that no two are equally simple.
        """
        if self.mixing is None:
            return (0,)
        filters = 2 * (self.filter.keep < 1) + self.filter.drop_near_copies
        numbers = tuple(value for name, value in self.mixing.fields().items() if name != "protocol")
        protocol = _PROTOCOLS.index(self.mixing.protocol)
        return (1, filters, len(self.sets), protocol, numbers, -self.filter.keep, json.dumps(self.sets))


def grid(config: SweepConfig, sets: Sequence[str]) -> tuple[Setting, ...]:
    """Returns every candidate, the simplest first: real images alone, then each set and all pooled in each way."""
    pools = [(name,) for name in sets] + ([tuple(sets)] if len(sets) > 1 else [])
    crossed = {
        Setting(pool, mixing, chosen) for pool in pools for mixing in config.mixings for chosen in config.filters
    }
    return tuple(sorted({Setting(), *crossed}, key=Setting.simplicity))
