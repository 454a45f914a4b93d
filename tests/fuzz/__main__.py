"""``python -m tests.fuzz``: tries cases for some minutes, counts them and shows what is wrong."""

import argparse
import itertools
import sys
from collections import Counter

from tests.fuzz.harness import Tally, try_cases, until
from tests.fuzz.worker import KINDS, Outcome


def main() -> int:
    """Returns 1 where a fault was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0, help="where the numbers of the cases begin")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="this kind only; may be repeated")
    parser.add_argument("--only", action="append", help="this case only, as KIND:NUMBER; may be repeated")
    given = parser.parse_args()
    numbers = itertools.count(given.seed * 1_000_000)
    cases = (f"{kind}:{number}" for number in numbers for kind in given.kind or KINDS)
    tally, seen = Tally(), Counter[str]()

    def said(outcome: Outcome) -> None:
        tally.add(outcome)
        if outcome.fault:
            alike = outcome.fault.strip().splitlines()[-1][:80]
            seen[alike] += 1
            if seen[alike] <= 3 or given.only:
                print(f"\n{outcome.case}\n{outcome.fault}", flush=True)

    try_cases(given.only or until(cases, given.minutes), processes=given.processes, said=said)
    print(tally.text())
    for alike, count in seen.most_common():
        print(f"{count:6} x {alike}")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
