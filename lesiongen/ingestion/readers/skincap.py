"""SkinCAP (Zhou et al. 2024): images of Fitzpatrick17k and DDI with dermatologists' captions and SkinCon's concepts."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from lesiongen.concepts.experts import described
from lesiongen.concepts.schema import Report
from lesiongen.dataset import diagnosis_phrase, resolve_diagnosis
from lesiongen.errors import DataError
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.readers.ddi import DDI_ATTRIBUTION, DDI_LICENCE
from lesiongen.ingestion.readers.fitzpatrick17k import FITZPATRICK17K_ATTRIBUTION
from lesiongen.ingestion.readers.labels import LABEL_CHOICES, own_label
from lesiongen.ingestion.readers.observations import observed
from lesiongen.ingestion.readers.skincon import SKINCON_COLUMNS, UNUSABLE_CHOICES, skincon_concepts
from lesiongen.ingestion.rows import FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table
from lesiongen.storage import Storage

__all__ = ["SkincapReader"]

# The releases, the newest first: the table and its column of English captions.
RELEASES = {
    "v240715": ("skincap_v240715.xlsx", "caption_en"),
    "v240623": ("skincap_v240623.csv", "caption_zh_polish_en"),
}
NOT_INCLUDED = "not_include"
COLUMNS = ("skincap_file_path", "disease", "source", "skin_tone", "fitzpatrick_scale", *SKINCON_COLUMNS)
SKINCAP_ATTRIBUTION = (
    "Zhou, J. et al. SkinCAP: a multi-modal dermatology dataset annotated with rich medical captions. "
    "arXiv:2405.18004 (2024)"
)
# The card says CC BY-NC-SA 4.0; who downloads agrees to stricter terms, which forbid handing the data on.
SKINCAP_LICENCE = "SkinCAP research use agreement"
# The images come from two collections, whose own terms still apply.
LICENCES = {"fitzpatrick17k": SKINCAP_LICENCE, "ddi": f"{SKINCAP_LICENCE} AND {DDI_LICENCE}"}
ATTRIBUTIONS = {"fitzpatrick17k": FITZPATRICK17K_ATTRIBUTION, "ddi": DDI_ATTRIBUTION}


class SkincapReader(Reader):
    """Reads the newest of SkinCAP's tables and the images of the folder skincap, but for those in not_include.

    Left out are ``malignant`` and the partition labels, which are the diagnosis again, and ``remark``.
    """

    source = "skincap"
    title = "SkinCAP"
    homepage = "https://huggingface.co/datasets/joshuachou/SkinCAP"
    licence = LICENCES["ddi"]
    attribution = SKINCAP_ATTRIBUTION
    expects = (
        "skincap_v240715.xlsx or skincap_v240623.csv with the captions and SkinCon's 48 concepts",
        "skincap/ with the images that skincap_file_path names; skincap/not_include is not used",
    )
    options: ClassVar = {
        "table": "newest, v240715, v240623: which release's table, whose captions were translated differently",
        "caption": "observation, full, none: of the English caption what describes, all of it, or nothing",
        "label": LABEL_CHOICES,
        "unusable": UNUSABLE_CHOICES,
    }

    def __init__(self, config: IngestConfig) -> None:
        super().__init__(config)
        self.table = self.choice("table", "newest", *RELEASES)
        self.caption = self.choice("caption", "observation", "full", "none")
        self.label = self.choice("label", "taxonomy", "own")
        self.unusable = self.choice("unusable", "exclude", "keep")

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the table, then the images without a row."""
        index = ImageIndex(storage, ignore_folders=(NOT_INCLUDED,))
        name, caption = RELEASES[self._release(storage, index)]
        table = index.find_table(name)
        folder = (PurePosixPath(table).parent / "skincap").as_posix()
        for item in read_table(storage, table, (*COLUMNS, caption), notes=self.notes):
            yield item if isinstance(item, Rejection) else self._row(item, caption, folder, index)
        yield from index.unnamed(table)

    def _release(self, storage: Storage, index: ImageIndex) -> str:
        if self.table != "newest":
            return self.table
        for release, (name, _) in RELEASES.items():
            if index.holds_table(name):
                return release
        if index.look_into_archives():
            return self._release(storage, index)
        raise DataError(
            f"{storage.uri} contains neither {' nor '.join(name for name, _ in RELEASES.values())}",
            hint=f"It holds: {', '.join(index.tables[:5]) or 'no table'}. Is this the right --format?",
        )

    def _row(self, row: TableRow, caption: str, folder: str, index: ImageIndex) -> Row | Rejection:
        image, disease = row.field("skincap_file_path"), row.field("disease")
        try:
            if NOT_INCLUDED in PurePosixPath(image.text).parts:
                raise FieldError(image, "SkinCAP's authors do not include this image", "excluded")
            key = index.of_path(image, folder)
            report = skincon_concepts(row, self.unusable)
            values = _values(row) | {"concepts": self._described(report, row, caption)}
        except FieldError as error:
            return row.reject(error.field, error.reason, error.kind)
        if self.label == "own" and disease.text:
            values["diagnosis"] = own_label(disease.text)
        return Row(row.table, row.line, image, key, PurePosixPath(key).stem, disease, values)

    def _described(self, report: Report, row: TableRow, caption: str) -> str | None:
        text, disease = row.field(caption).text, row.field("disease").text
        if self.caption == "observation":
            text = observed(text, disease, diagnosis_phrase(resolve_diagnosis(disease) or ""))
        if self.caption != "none":
            try:
                report = described(report, text)
            except ValueError as error:
                raise FieldError(row.field(caption), f"is not a description: {error}") from error
        return report.to_text() if report != Report() else None


def _values(row: TableRow) -> dict[str, str | float | None]:
    origin = row.field("source")
    if origin.text not in LICENCES:
        raise FieldError(origin, f"is not one of {', '.join(LICENCES)}")
    scale = "ddi" if origin.text == "ddi" else "fitzpatrick"
    tone = fields.skin_tone(row.field("skin_tone" if scale == "ddi" else "fitzpatrick_scale"), scale)
    return {
        "skin_tone": tone,
        "skin_tone_scale": scale if tone else None,
        "skin_tone_source": ("expert" if scale == "ddi" else "metadata") if tone else None,
        "image_type": "clinical",
        "device": origin.text,
        "licence": LICENCES[origin.text],
        "attribution": f"{SKINCAP_ATTRIBUTION}; {ATTRIBUTIONS[origin.text]}",
    }
