"""Who fills a report: experts, the table, the pixels. A writer states only what it has evidence for."""

from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from lesiongen.captions.config import WriterName
from lesiongen.concepts import Entry, Measurement, Report, measure, measured_report, read_report
from lesiongen.concepts.vocabulary import FITZPATRICK, TONES
from lesiongen.dataset import Sample

__all__ = ["WRITERS", "Writer", "Written"]

UNKNOWN = {"", "unknown", "not known", "na", "n/a", "none"}


@dataclass(frozen=True)
class Written:
    """A writer's report; the measurement stands beside it where there is one."""

    report: Report
    not_measurable: dict[str, str] = field(default_factory=dict)
    measurement: Measurement | None = None


class Writer(Protocol):
    """Reads a sample and states what it knows of it."""

    def __call__(self, sample: Sample, image: Image.Image) -> Written:
        """Writes the entries that this source has evidence for."""


def _expert(sample: Sample, image: Image.Image) -> Written:
    """Keeps the entries of the dataset's own report that an expert made."""
    known = {name: entry for name, entry in read_report(sample.concepts).entries() if entry.source == "expert"}
    return Written(Report(**known))


def _metadata(sample: Sample, image: Image.Image) -> Written:
    """Takes age, sex, site and the recorded skin tone from the table."""
    facts = [f"{sample.age:.0f} years" if sample.age is not None else "", sample.sex or "", sample.site or ""]
    words = tuple(" ".join(fact.lower().split()) for fact in facts if fact.strip().lower() not in UNKNOWN)
    evidence = {"age": float(sample.age)} if sample.age is not None else {}
    patient = Entry(value=words, source="metadata", evidence=evidence) if words else None
    return Written(Report(patient=patient, skin_tone=_recorded_tone(sample)))


def _recorded_tone(sample: Sample) -> Entry | None:
    """Names a Fitzpatrick type by the tone class of the same rank; other scales have no such order and say nothing."""
    kind = FITZPATRICK.get((sample.skin_tone or "").strip().upper())
    if kind is None or (sample.skin_tone_scale or "").lower() != "fitzpatrick":
        return None
    source = "expert" if sample.skin_tone_source == "expert" else "metadata"
    return Entry(value=(TONES[kind - 1],), source=source, evidence={"fitzpatrick": kind})


def _measured(sample: Sample, image: Image.Image) -> Written:
    found = measure(image)
    return Written(measured_report(found), found.not_measurable, found)


WRITERS: dict[WriterName, Writer] = {"expert": _expert, "metadata": _metadata, "measured": _measured}
"""In the order of trust."""
