"""The entries that an image can show; the patient's are the table's alone."""

from lesiongen.concepts import ENTRIES

__all__ = ["VISUAL_ENTRIES"]

VISUAL_ENTRIES = tuple(name for name in ENTRIES if name != "patient")
