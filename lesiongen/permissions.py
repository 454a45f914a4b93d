"""Who may read what a command writes: its owner alone, unless the user says otherwise.

Datasets, reports, models, logs and databases may all show patients. One mechanism decides for all of them, those
that libraries and servers write included: the process's umask, set where a command or a step begins.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from lesiongen.errors import UsageError

__all__ = ["UMASK", "new_files_for_owner"]

UMASK = "LESIONGEN_UMASK"
_OTHERS = 0o077


@contextmanager
def new_files_for_owner(umask: str | None = None) -> Iterator[None]:
    """Closes what is written within the block to everybody but its owner.

    Args:
        umask: Octal digits that are taken as they are in place of that, such as 027 for a group that may read;
            None takes those of ``LESIONGEN_UMASK``, where it is set.

    Raises:
        UsageError: They are not a umask, or one that would keep the owner out.
    """
    named = os.environ.get(UMASK)
    wanted = umask or named
    mask = _parsed(wanted) if wanted else None
    before = os.umask(_OTHERS)
    try:
        os.umask(before | _OTHERS if mask is None else mask)
        if wanted:
            os.environ[UMASK] = wanted  # the steps of a pipeline are processes of their own
        yield
    finally:
        os.umask(before)
        if named is None:
            os.environ.pop(UMASK, None)
        else:
            os.environ[UMASK] = named


def _parsed(text: str) -> int:
    if not re.fullmatch("0?[0-7]{1,3}", text) or int(text, 8) & 0o700:
        raise UsageError(
            f"{UMASK} = {text!r}: invalid value",
            hint="Write octal digits that leave the owner's rights: 077 (the default), 027 or 022.",
        )
    return int(text, 8)
