"""Arguments and names of files in a locale that knows ASCII alone, such as C on a server: they are UTF-8 there too."""

import os
import sys
from collections.abc import Iterable

__all__ = ["enter_utf8_mode"]


def enter_utf8_mode() -> None:
    """Starts this process again in Python's UTF-8 mode where an argument or a LESIONGEN_ variable needs it.

    Under an ASCII locale Python takes the bytes of other letters for errors, which no file, log or server accepts.
    Decoding the arguments alone would not do: files with such names could not be opened.
    """
    if sys.flags.utf8_mode or sys.getfilesystemencoding() != "ascii":
        return
    variables = (value for name, value in os.environ.items() if name.startswith("LESIONGEN_"))
    if not _hold_utf8([*sys.orig_argv, *variables]):
        return
    os.environ["PYTHONUTF8"] = "1"  # of the processes that it starts, too
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def _hold_utf8(texts: Iterable[str]) -> bool:
    data = os.fsencode("".join(texts))
    try:
        return not data.decode("utf-8").isascii()
    except UnicodeDecodeError:  # another encoding, which the locale does not name
        return False
