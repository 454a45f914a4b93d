"""What a check found in a writer's report."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lesiongen.concepts import Source

__all__ = ["CheckFinding", "CheckName", "Rule"]

Rule = Literal["drop", "keep the more trusted", "reject"]

CheckName = Literal[
    "without evidence",
    "contradiction within the entry",
    "contradiction between entries",
    "contradiction with the metadata",
    "contradiction with the measurement",
    "contradiction between writers",
    "invented diagnosis",
    "another patient",
    "personal data",
    "unknown place",
]


class CheckFinding(BaseModel):
    """One case.

    Attributes:
        check: Which check found it.
        writer: Whose statement was at fault: the less trusted one, where two differ.
        entry: The entry of the report, or ``description``.
        rule: What was done.
        detail: What differs, in a few words; personal data is never repeated here.
        weight: How bad it is, in [0, 1]; the worst cases are shown first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: CheckName
    writer: Source
    entry: str
    rule: Rule
    detail: str
    weight: float = Field(1.0, ge=0, le=1)
