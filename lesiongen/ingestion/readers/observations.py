"""What a caption says that can be seen: SkinCAP's captions also state diagnosis, tests and treatment."""

import re

__all__ = ["observed"]

_CUES = re.compile(
    r"\b(?:diagnos|suspect|suggest|consider|possib|probab|likely|may be|might be|could be|maybe|indicat|consistent with"
    r"|typical of|characteristic of|differential|rul(?:e|ed|ing) out|biops|patholog|histolog|further|tests?\b|testing"
    r"|treat|therap|recommend|advis|confirm|condition is|clinical impression|combined with|medical history)",
    re.IGNORECASE,
)
_CLAUSES = re.compile(r"(?<=[,;.!?])\s+")
_WORDS = re.compile(r"[a-z]+")


def observed(text: str, *names: str) -> str:
    """Returns the leading clauses of a caption, up to the first that judges instead of describing.

    A clause judges where it holds a word of diagnosis, testing or treatment, or all words of one of the names.

    Args:
        text: The caption.
        names: Names of the diagnosis.
    """
    named = [set(_WORDS.findall(name.lower())) for name in names]
    kept: list[str] = []
    for clause in _CLAUSES.split(" ".join(text.split())):
        words = set(_WORDS.findall(clause.lower()))
        if _CUES.search(clause) or any(name and name <= words for name in named):
            break
        kept.append(clause)
    return " ".join(kept).rstrip(",; ")
