"""What a lesion shows: the report, its words, its caption, and its measurement from pixels."""

from lesiongen.concepts.findings import measured_report
from lesiongen.concepts.measurement import Measurement, measure
from lesiongen.concepts.schema import ENTRIES, Entry, Report, Source, read_report
from lesiongen.concepts.text import (
    Composed,
    Tokenizer,
    compose,
    composer_vocabulary,
    count_tokens,
    label_only,
    reference_prompts,
)

__all__ = [
    "ENTRIES",
    "Composed",
    "Entry",
    "Measurement",
    "Report",
    "Source",
    "Tokenizer",
    "compose",
    "composer_vocabulary",
    "count_tokens",
    "label_only",
    "measure",
    "measured_report",
    "read_report",
    "reference_prompts",
]
