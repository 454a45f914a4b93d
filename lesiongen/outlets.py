"""The ways out of a process: its two streams and its log, with `lesiongen.redaction` in each of them."""

import codecs
import io
import logging
import sys
import traceback
from collections.abc import Iterable
from typing import Any, TextIO

from lesiongen.redaction import redact, shown

__all__ = ["can_show", "guard_streams", "log_to", "show_traceback", "unguarded"]

PLAIN = "lesiongen.plain"
"""Name of the error handler of streams whose encoding has not every character, such as latin-1 or ASCII."""
_PLAIN_SPELLINGS = {"…": "...", "±": "+/-", "·": "-", "\N{EN DASH}": "-", "▀": "#", "²": "^2"}
"""What our own texts hold beside letters."""


def log_to(stream: TextIO, level: int | str, packages: Iterable[str] = ("lesiongen",)) -> None:
    """Makes a stream the log of this process, in place of any other; libraries log warnings alone.

    Args:
        stream: Where the lines go, as they may be shown.
        level: Of the packages' own loggers.
        packages: Names of these loggers.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in packages:
        logging.getLogger(name).setLevel(level)


def guard_streams() -> None:
    """Puts the redaction in front of standard output and standard error, for all that libraries write there too.

    What is written at once is looked at as a whole. Characters that a terminal obeys pass: progress bars and colours
    are made of them, and our own texts have been made printable before. A character that the stream's encoding does not
    have is spelled out.
    """
    codecs.register_error(PLAIN, _plain)
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def can_show(text: str) -> bool:
    """Tells whether standard output has every character of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def unguarded(stream: TextIO) -> TextIO:
    """Returns the stream without redaction, for a command that is asked to print a secret."""
    return stream.behind if isinstance(stream, _Guarded) else stream


def show_traceback() -> None:
    """Writes the exception that is being handled to standard error, as it may be shown."""
    sys.stderr.write(shown(traceback.format_exc()))


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


class _Guarded:
    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def write(self, text: str) -> int:
        self.behind.write(redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)


def _guarded(stream: TextIO) -> Any:
    if isinstance(stream, _Guarded):
        return stream
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=PLAIN)
    return _Guarded(stream)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if character in _PLAIN_SPELLINGS:
        return _PLAIN_SPELLINGS[character], error.start + 1
    one = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    return codecs.backslashreplace_errors(one)
