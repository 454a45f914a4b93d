"""Puts measurements into the report's words."""

from lesiongen.concepts.measurement import Measurement
from lesiongen.concepts.schema import Entry, Report
from lesiongen.concepts.vocabulary import ASYMMETRY, COLOUR_VARIABILITY, SIZES

__all__ = ["measured_report"]

SIZE_LIMITS = (0.15, 0.30)
"""Shares of the image from which a lesion is medium, and large: near the terciles of HAM10000."""

ASYMMETRIC = 0.13
"""Mismatch from which a lesion is asymmetric in an axis: near HAM10000's median."""

REGULAR, IRREGULAR = 0.022, 0.045
SHARP, BLURRED = 0.09, 0.12
"""Between the two limits nothing is said of the border. HAM10000's outer thirds of the irregularity; of the width, on
which most images agree, the outer tenths."""

ROUND = 1.2
JAGGED = 0.07


def measured_report(measurement: Measurement) -> Report:
    """States what the measurement has numbers for, and nothing else."""
    return Report(
        colour=_colour(measurement),
        colour_variability=_colour_variability(measurement),
        shape=_shape(measurement),
        shape_variability=_asymmetry(measurement),
        size=_size(measurement),
        border=_border(measurement),
        skin_tone=_skin_tone(measurement),
    )


def _entry(words: tuple[str, ...], **evidence: float) -> Entry:
    return Entry(value=words, source="measured", evidence={name: round(number, 4) for name, number in evidence.items()})


def _colour(found: Measurement) -> Entry | None:
    return _entry(tuple(found.colours), **found.colours) if found.colours else None


def _colour_variability(found: Measurement) -> Entry | None:
    if not found.colours:
        return None
    return _entry((COLOUR_VARIABILITY[min(len(found.colours), 3) - 1],), colours=len(found.colours))


def _shape(found: Measurement) -> Entry | None:
    if found.elongation is None or found.irregularity is None or found.asymmetry is None:
        return None
    if found.irregularity > JAGGED or found.asymmetry[1] > 2 * ASYMMETRIC:
        word = "irregular"
    else:
        word = "round" if found.elongation < ROUND else "oval"
    return _entry((word,), elongation=found.elongation, irregularity=found.irregularity)


def _asymmetry(found: Measurement) -> Entry | None:
    if found.asymmetry is None:
        return None
    axes = sum(mismatch > ASYMMETRIC for mismatch in found.asymmetry)
    return _entry((ASYMMETRY[axes],), larger=found.asymmetry[0], smaller=found.asymmetry[1])


def _size(found: Measurement) -> Entry | None:
    if found.area_share is None:
        return None
    word = SIZES[sum(found.area_share >= limit for limit in SIZE_LIMITS)]
    return _entry((word,), area_share=found.area_share)


def _border(found: Measurement) -> Entry | None:
    if found.irregularity is None or found.border_width is None:
        return None
    words = []
    if not REGULAR < found.irregularity < IRREGULAR:
        words.append("smooth border" if found.irregularity <= REGULAR else "irregular border")
    if not SHARP < found.border_width < BLURRED:
        words.append("sharp border" if found.border_width <= SHARP else "blurred border")
    return _entry(tuple(words), irregularity=found.irregularity, width=found.border_width)


def _skin_tone(found: Measurement) -> Entry | None:
    """The likeliest tone class, with the chances of those beside it: what the image shows, not the patient's type."""
    tone = found.skin_tone
    if tone is None:
        return None
    entry = _entry((tone.name,), ita=tone.ita, uncertainty=tone.uncertainty, **tone.chances)
    return entry.model_copy(update={"confidence": round(tone.chances[tone.name], 3)})
