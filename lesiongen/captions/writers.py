"""Who fills a report: experts, the table, the pixels, a model. A writer states only what it has evidence for."""

from collections.abc import Sequence
from typing import Protocol

from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from lesiongen.captions.config import WriterName
from lesiongen.concepts import Entry, Report, by_experts, measure, measured_report, read_report
from lesiongen.concepts.vocabulary import recorded_skin_type
from lesiongen.dataset import Sample
from lesiongen.errors import DataError
from lesiongen.imaging import ImageError, decode

__all__ = ["LOCAL_WRITERS", "DecodedImages", "Writer", "Written"]

UNKNOWN = {"", "unknown", "not known", "na", "n/a", "none"}


class Written(BaseModel):
    """What a writer states of one image.

    Attributes:
        report: The entries that it has evidence for.
        not_measurable: What the image does not allow to measure, and why.
        tone: Class of the skin's measured tone.
        refused: What it answered and may not state, in a few words each.
    """

    model_config = ConfigDict(frozen=True)

    report: Report
    not_measurable: dict[str, str] = {}
    tone: str | None = None
    refused: tuple[str, ...] = ()


class DecodedImages(Sequence[Image.Image]):
    """The samples' images, decoded when they are asked for.

    Raises:
        DataError: An image cannot be decoded; the message names it.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204 - int or slice, as of any sequence
        if isinstance(index, slice):
            return DecodedImages(self._samples[index])
        sample = self._samples[index]
        try:
            return decode(sample.image)
        except ImageError as error:
            raise DataError(f"image_id = {sample.image_id}: {error}") from error


class Writer(Protocol):
    """Reads samples and states what it knows of each."""

    def write(self, samples: Sequence[Sample], images: Sequence[Image.Image]) -> list[Written]:
        """Writes, for every sample, the entries that this source has evidence for.

        Args:
            samples: What the dataset says.
            images: Their images, in the same order.
        """


class _Expert:
    """Keeps what experts contributed to the dataset's own report: entries, recorded absences, their own words."""

    def write(self, samples: Sequence[Sample], images: Sequence[Image.Image]) -> list[Written]:
        """Returns the concepts that each image's dataset row holds."""
        return [Written(report=self._kept(sample)) for sample in samples]

    def _kept(self, sample: Sample) -> Report:
        try:
            return by_experts(read_report(sample.concepts))
        except DataError as error:
            raise DataError(f"image_id = {sample.image_id}: {error}") from error


class _Metadata:
    """Takes age, sex, site and the recorded skin tone from the table."""

    def write(self, samples: Sequence[Sample], images: Sequence[Image.Image]) -> list[Written]:
        """Returns age, sex, site and recorded skin tone of each image."""
        return [Written(report=self._recorded(sample)) for sample in samples]

    def _recorded(self, sample: Sample) -> Report:
        try:
            return Report(patient=_patient(sample), skin_tone=_recorded_tone(sample))
        except ValidationError as error:
            raise DataError(
                f"image_id = {sample.image_id}: site = {sample.site!r}: {error.errors()[0]['msg']}",
                hint="A site is a place of the body in at most 80 printable signs; correct the table and ingest again.",
            ) from error


def _patient(sample: Sample) -> Entry | None:
    facts = [f"{sample.age:.0f} years" if sample.age is not None else "", sample.sex or "", sample.site or ""]
    words = tuple(" ".join(fact.lower().split()) for fact in facts if fact.strip().lower() not in UNKNOWN)
    evidence = {"age": float(sample.age)} if sample.age is not None else {}
    return Entry(value=words, source="metadata", evidence=evidence) if words else None


def _recorded_tone(sample: Sample) -> Entry | None:
    """Names a recorded Fitzpatrick type, or DDI's pair of types; other scales say nothing of either."""
    word = recorded_skin_type(sample.skin_tone, sample.skin_tone_scale)
    if word is None:
        return None
    return Entry(value=(word,), source="expert" if sample.skin_tone_source == "expert" else "metadata")


class _Measured:
    """Measures the pixels."""

    def write(self, samples: Sequence[Sample], images: Sequence[Image.Image]) -> list[Written]:
        """Returns what is measured from the pixels of each image."""
        return [self._measure(image) for image in images]

    def _measure(self, image: Image.Image) -> Written:
        found = measure(image)
        return Written(report=measured_report(found), not_measurable=found.not_measurable, tone=found.tone)


LOCAL_WRITERS: dict[WriterName, Writer] = {"expert": _Expert(), "metadata": _Metadata(), "measured": _Measured()}
"""The writers that need nothing but the sample, in the order of trust."""
