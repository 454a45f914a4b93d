"""Sampling: from a generator to a dataset of synthetic images."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from lesiongen.concepts import measure
from lesiongen.dataset import Dataset, DatasetWriter
from lesiongen.dataset.schema import Sample
from lesiongen.diffusion.generator import Generator, load_generator
from lesiongen.diffusion.plan import Request, requests
from lesiongen.diffusion.sample_config import SampleConfig
from lesiongen.imaging import contact_sheet, encode_png
from lesiongen.progress import progress
from lesiongen.references import DatasetReference
from lesiongen.storage import open_storage
from lesiongen.tracking import stage_run

__all__ = ["CONTACT_SHEET", "SampleResult", "sample"]

CONTACT_SHEET = "contact_sheet.png"
SHEET_COLUMNS = 8
_DATASET_ONLY = {"caption_of", "model"}
"""Provenance that stays out of the picture itself, which may be handed on: a real image's id, a place of our own."""


@dataclass(frozen=True)
class SampleResult:
    """A published synthetic dataset."""

    dataset: DatasetReference
    contact_sheet: str
    """URI of the picture that shows the first images of every diagnosis, a row each."""


def sample(config: SampleConfig, model_uri: str, output: str, *, dataset: str | None = None) -> SampleResult:
    """Draws synthetic images and publishes them as a dataset whose only split is ``train``.

    Each image has a random stream of its own, settled by seed and index, so that any one can be drawn again
    alone. Each says that it is synthetic, and how it was made, in its ``provenance`` and in the PNG itself; the PNG
    names neither the training image that the caption is of nor the model's place. ``measured_tone`` is filled.

    Args:
        config: How many of what, and how they are drawn.
        model_uri: A generator: a folder, an ``s3://`` prefix, or a hub id.
        output: A new folder or ``s3://`` prefix.
        dataset: The captioned dataset whose ``train`` split gives captions and diagnoses.

    Raises:
        UsageError: The model or the output cannot be used, or a dataset is needed.
        DataError: A diagnosis has no captioned training image, or the model is damaged.
    """
    source = Dataset.open(dataset) if dataset is not None else None
    wanted = requests(config, source)
    with stage_run("sample", config.model_dump(mode="json") | {"model": model_uri}) as run:
        generator = load_generator(model_uri)
        generator.set_scheduler(config.scheduler)
        shown = _Sheet()
        with DatasetWriter(
            output,
            name=config.name,
            licence=source.manifest.licence if source else None,
            attribution=source.manifest.attribution if source else None,
            origin=_origin(config, model_uri, generator, source),
        ) as writer:
            for request, image in _drawn(generator, wanted, config):
                provenance = _provenance(request, config, model_uri, generator)
                writer.add(_sample(request, image, provenance, source))
                shown.add(request, image)
        sheet = shown.picture()
        open_storage(output).write_bytes(CONTACT_SHEET, _png(sheet))
        published = Dataset.open(output).reference()
        run.log_picture(sheet, CONTACT_SHEET)
        run.log_metrics({"images": published.rows})
        run.set_tags({"dataset_uri": published.uri, "dataset_version": published.version})
    return SampleResult(published, f"{published.uri.rstrip('/')}/{CONTACT_SHEET}")


def _drawn(
    generator: Generator, wanted: Sequence[Request], config: SampleConfig
) -> Iterator[tuple[Request, Image.Image]]:
    with progress("Sampling", total=len(wanted), unit="images") as bar:
        for start in range(0, len(wanted), config.batch_size):
            batch = wanted[start : start + config.batch_size]
            yield from zip(batch, generator.draw(batch, config), strict=True)
            bar.advance(len(batch))


class _Sheet:
    """Keeps the first images of every diagnosis for the contact sheet."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Image.Image]] = {}

    def add(self, request: Request, image: Image.Image) -> None:
        row = self.rows.setdefault(request.diagnosis, [])
        if len(row) < SHEET_COLUMNS:
            row.append(image)

    def picture(self) -> Image.Image:
        """Lays the diagnoses out below one another; a row that is not full ends in blank tiles."""
        columns = max(map(len, self.rows.values()))
        images, captions = [], []
        for diagnosis, row in self.rows.items():
            blank = [Image.new("RGB", row[0].size, "white")] * (columns - len(row))
            images += [*row, *blank]
            captions += [diagnosis] * len(row) + [""] * len(blank)
        return contact_sheet(images, captions, columns=columns)


def _sample(request: Request, image: Image.Image, provenance: dict[str, Any], source: Dataset | None) -> Sample:
    return Sample(
        image=encode_png(image, {key: value for key, value in provenance.items() if key not in _DATASET_ONLY}),
        image_id=f"synthetic-{request.index:06d}",
        diagnosis=request.diagnosis,
        split="train",
        caption=request.prompt,
        measured_tone=measure(image).tone,
        provenance=json.dumps(provenance, sort_keys=True),
        source="lesiongen",
        # What was learnt from images under a licence stays under it.
        licence=source.manifest.licence if source else None,
        attribution=source.manifest.attribution if source else None,
    )


def _provenance(request: Request, config: SampleConfig, model_uri: str, generator: Generator) -> dict[str, Any]:
    """``image_manipulation`` is the ISIC archive's own marker of a synthetic image."""
    return {
        "image_manipulation": "synthetic",
        "model": model_uri,
        "model_version": generator.version,
        "prompt": request.prompt,
        "caption_of": request.caption_of,
        "negative_prompt": config.negative_prompt,
        "seed": config.seed,
        "index": request.index,
        "guidance_scale": config.guidance_scale,
        "steps": config.steps,
        "scheduler": config.scheduler,
    }


def _origin(config: SampleConfig, model_uri: str, generator: Generator, source: Dataset | None) -> dict[str, Any]:
    return {
        "stage": "sample",
        "config": config.model_dump(mode="json"),
        "model": model_uri,
        "model_version": generator.version,
        "captions": None if source is None else source.reference().version,
    }


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
