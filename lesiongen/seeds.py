"""Independent random streams, named by what they are for."""

import hashlib

__all__ = ["derive_seed"]


def derive_seed(*parts: int | str) -> int:
    """Returns a 63-bit seed that depends on every part and on their order.

    Each random decision takes its own stream, for example
    ``derive_seed(seed, "noise", step, index)``: it can then
    be drawn again alone, after a restart, or by another process.

    >>> derive_seed(0, "splits") == derive_seed(0, "splits"), derive_seed(0, "splits") == derive_seed(1, "splits")
    (True, False)
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
