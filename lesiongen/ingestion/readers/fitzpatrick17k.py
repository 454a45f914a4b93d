"""Fitzpatrick17k (Groh et al. 2021): a table of links to the photographs of two atlases, with skin types."""

import re
from collections.abc import Iterator
from typing import ClassVar

from lesiongen.concepts.schema import Report
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.readers.labels import own_label
from lesiongen.ingestion.readers.skincon import UNUSABLE_CHOICES, Annotations, read_annotations
from lesiongen.ingestion.rows import Field, FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table

__all__ = ["FITZPATRICK17K_ATTRIBUTION", "FITZPATRICK17K_LICENCE", "Fitzpatrick17kReader"]

FITZPATRICK17K_LICENCE = "CC BY-NC-SA 3.0"
FITZPATRICK17K_ATTRIBUTION = (
    "Groh, M. et al. Evaluating deep neural networks trained on clinical images in dermatology with the "
    "Fitzpatrick 17k dataset. CVPR Workshops, 1820-1828 (2021)"
)
SKINCON_TABLE = "annotations_fitzpatrick17k.csv"
LEVELS = {"own": "label", "nine": "nine_partition_label", "three": "three_partition_label"}
CHECKED = ("1 Diagnostic", "2 Characteristic")
WRONG = "3 Wrongly labelled"
VERDICTS = (*CHECKED, WRONG, "4 Other", "5 Potentially")
COLUMNS = ("md5hash", "fitzpatrick_scale", "fitzpatrick_centaur", *LEVELS.values(), "qc", "url")


class Fitzpatrick17kReader(Reader):
    """Reads fitzpatrick17k.csv, SkinCon's annotations where they are there, and the images named by md5hash.

    Many of the links lead nowhere by now: a row without an image is listed as missing, not as an error.
    """

    source = "fitzpatrick17k"
    title = "Fitzpatrick17k"
    homepage = "https://github.com/mattgroh/fitzpatrick17k"
    licence = FITZPATRICK17K_LICENCE
    attribution = FITZPATRICK17K_ATTRIBUTION
    expects = (
        "fitzpatrick17k.csv with md5hash, the two skin types, the three levels of labels, qc, url",
        "images named by md5hash in any folder; those that are not there are listed in missing.csv",
        "optional: SkinCon's annotations_fitzpatrick17k.csv",
    )
    options: ClassVar = {
        "label": "taxonomy, own, nine, three: the class of the label in the taxonomy, one of the 114 labels, or one "
        "of the nine or three partitions",
        "tone": "scale, centaur, agreed: the skin type by fitzpatrick_scale, by fitzpatrick_centaur, or only where "
        "they agree",
        "qc": f"usable, checked, any: all but '{WRONG}', only those that a dermatologist found right, or all",
        "unusable": UNUSABLE_CHOICES,
    }

    def __init__(self, config: IngestConfig) -> None:
        super().__init__(config)
        self.label = self.choice("label", "taxonomy", *LEVELS)
        self.tone = self.choice("tone", "scale", "centaur", "agreed")
        self.qc = self.choice("qc", "usable", "checked", "any")
        self.unusable = self.choice("unusable", "exclude", "keep")

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the table, then the images without a row."""
        index = ImageIndex(storage)
        table = index.find_table("fitzpatrick17k.csv")
        skincon = read_annotations(storage, index, SKINCON_TABLE, self.unusable)
        yield from skincon.broken
        for item in read_table(storage, table, COLUMNS):
            yield item if isinstance(item, Rejection) else self._row(item, index, skincon)
        yield from index.unnamed(table)

    def _row(self, row: TableRow, index: ImageIndex, skincon: Annotations) -> Row | Rejection:
        image, label = row.field("md5hash"), row.field("label")
        try:
            key = _image(row, image, index)
            self._check_quality(row.field("qc"))
            concepts = skincon.by_image.get(f"{image.text}.jpg", Report())
            if isinstance(concepts, Rejection):
                return concepts
            tone = self._tone(row)
            values: dict[str, str | float | None] = {
                "skin_tone": tone,
                "skin_tone_scale": "fitzpatrick" if tone else None,
                # Annotators of two labelling services looked at the photographs; no dermatologist did.
                "skin_tone_source": "metadata" if tone else None,
                "image_type": "clinical",
                "concepts": concepts.to_text() if list(concepts.entries()) else None,
            }
            if self.label != "taxonomy":
                values["diagnosis"] = self._level(row)
        except FieldError as error:
            return row.reject(error.field, error.reason, error.kind)
        return Row(row.table, row.line, image, key, image.text, label, values)

    def _check_quality(self, qc: Field) -> None:
        if qc.text and qc.text not in VERDICTS:
            raise FieldError(qc, f"is not one of blank, {', '.join(VERDICTS)}")
        if self.qc == "usable" and qc.text == WRONG:
            raise FieldError(
                qc, "a dermatologist found the label wrong (--option qc=any keeps such images)", "excluded"
            )
        if self.qc == "checked" and qc.text not in CHECKED:
            raise FieldError(qc, "no dermatologist found the label right (--option qc=checked)", "excluded")

    def _tone(self, row: TableRow) -> str | None:
        scale, centaur = (
            fields.skin_tone(row.field(name), "fitzpatrick") for name in ("fitzpatrick_scale", "fitzpatrick_centaur")
        )
        if self.tone == "agreed":
            return scale if scale == centaur else None
        return scale if self.tone == "scale" else centaur

    def _level(self, row: TableRow) -> str:
        field = row.field(LEVELS[self.label])
        if not field.text:
            raise FieldError(field, "is blank; every image needs a diagnosis")
        return own_label(field.text)


def _image(row: TableRow, image: Field, index: ImageIndex) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", image.text):
        raise FieldError(image, "is not an MD5 hash of 32 hexadecimal digits")
    try:
        return index.of_stem(image, absent="missing")
    except FieldError as error:
        if error.kind != "missing":
            raise
        link = row.field("url").text
        where = f"the table's link is {link}" if link else "the table has no link either"
        raise FieldError(image, f"{error.reason}; {where}", error.kind) from error
