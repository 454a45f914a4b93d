"""What a lesion shows: the report, its words, its caption, and its measurement from pixels."""

from lesiongen.concepts.answers import VISUAL_ENTRIES, answer_schema
from lesiongen.concepts.experts import (
    by_experts,
    dermoscopic_report,
    described,
    seven_point_report,
    skincon_report,
)
from lesiongen.concepts.findings import measured_report
from lesiongen.concepts.measurement import Measurement, measure
from lesiongen.concepts.schema import (
    ENTRIES,
    Description,
    Entry,
    Report,
    Source,
    read_report,
    report_json_schema,
)
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
    "VISUAL_ENTRIES",
    "Composed",
    "Description",
    "Entry",
    "Measurement",
    "Report",
    "Source",
    "Tokenizer",
    "answer_schema",
    "by_experts",
    "compose",
    "composer_vocabulary",
    "count_tokens",
    "dermoscopic_report",
    "described",
    "label_only",
    "measure",
    "measured_report",
    "read_report",
    "reference_prompts",
    "report_json_schema",
    "seven_point_report",
    "skincon_report",
]
