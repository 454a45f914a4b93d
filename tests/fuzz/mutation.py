"""Damage: of bytes, of values, and of what is made of pieces."""

import random
from collections.abc import Sequence
from typing import Any

NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
TEXTS = (
    "", " ", "\0", "\x1b[31m", "\u202e", "\ufeff", "\U0001f600", "e\u0301" * 50, "\ud800", "$\\frac$", "=1+1",
    "../../canary", "/etc/passwd", "C:\\x", "nan", "inf", "-1", "1e400", "9" * 5000, "x" * 5000, "a/" * 500, "{}", "[",
    "[" * 5000, '{"a":' * 3000, "%s%n", "<script>", "'\"\\", "\n", "\r\n", "melanoma", "train", "2020-13-45", "\u2028",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, -(2**63), 10**400, 0.5, float("nan"), float("inf"), [], {}, [None], [[]],
    {"a": {"b": []}}, {"": 0}, *TEXTS,
)  # fmt: skip


def damaged(rng: random.Random, data: bytes, *, most: int = 8) -> bytes:
    """Changes bytes in a few places, those near the start more often: there the headers are."""
    content = bytearray(data)
    for _ in range(rng.randint(0, most)):
        if not content:
            return b""
        at = rng.randrange(min(len(content), 400)) if rng.random() < 0.5 else rng.randrange(len(content))
        length = rng.choice((1, 1, 2, 4, 8, rng.randint(1, 64)))
        width = rng.choice((1, 2, 4, 8))
        number = (rng.choice(NUMBERS) % 2 ** (8 * width)).to_bytes(width, rng.choice(("little", "big")))
        change = rng.randrange(7)
        if change == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            content[at : at + width] = number
        elif change == 2:
            content[at : at + length] = b""
        elif change == 3:
            content[at:at] = rng.randbytes(length)
        elif change == 4:
            content[at:at] = content[at : at + length] * rng.choice((1, 2, 50, 1000))
        elif change == 5:
            content[at : at + length] = rng.randbytes(length)
        elif rng.random() < 0.3:
            del content[at:]
    return bytes(content)


def shuffled(rng: random.Random, pieces: Sequence[bytes]) -> list[bytes]:
    """Leaves out, repeats, swaps or damages pieces of a file."""
    found = list(pieces)
    for _ in range(rng.randint(0, 3)):
        if not found:
            break
        at = rng.randrange(len(found))
        change = rng.randrange(5)
        if change == 0:
            del found[at]
        elif change == 1:
            found[at:at] = [found[at]] * rng.choice((1, 3, 60, 3000))
        elif change == 2:
            other = rng.randrange(len(found))
            found[at], found[other] = found[other], found[at]
        elif change == 3:
            found[at] = damaged(rng, found[at])
    return found


def changed(rng: random.Random, value: Any, *, share: float = 0.15) -> Any:
    """Replaces values within a value of JSON, removes fields and adds some."""
    if rng.random() < share / 3:
        return rng.choice(VALUES)
    if isinstance(value, dict):
        kept = {key: changed(rng, each, share=share) for key, each in value.items() if rng.random() > share / 4}
        return {**kept, rng.choice(TEXTS): rng.choice(VALUES)} if rng.random() < share else kept
    if isinstance(value, list):
        items = [changed(rng, each, share=share) for each in value]
        return items * 40 if rng.random() < share / 4 else items
    return rng.choice(VALUES) if rng.random() < share else value
