"""Sampling: from a generator to a dataset of synthetic images, in one job or in parts."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from lesiongen import __version__
from lesiongen.concepts import measure
from lesiongen.dataset import Dataset, DatasetWriter, Part, join_parts
from lesiongen.dataset.manifest import MANIFEST_NAME, read_manifest
from lesiongen.dataset.schema import Sample
from lesiongen.dataset.writer import is_published
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.diffusion.sampling.drawn import Drawn, output_and_work
from lesiongen.diffusion.sampling.plan import Request, batches, requests
from lesiongen.errors import UsageError
from lesiongen.imaging import contact_sheet, decode, encode_png
from lesiongen.interruption import kept_when_interrupted
from lesiongen.names import synthetic_name
from lesiongen.parallel import use_own_cores
from lesiongen.progress import progress
from lesiongen.records.origin import SampleOrigin
from lesiongen.records.provenance import SyntheticProvenance
from lesiongen.references import DatasetReference
from lesiongen.storage import already_holds, claimed, open_storage
from lesiongen.tracking import StageRun, stage_run

if TYPE_CHECKING:
    from lesiongen.diffusion.sampling.generator import Generator

__all__ = ["CONTACT_SHEET", "SampleResult", "join_samples", "sample"]

CONTACT_SHEET = "contact_sheet.png"
SHEET_COLUMNS = 8


@dataclass(frozen=True)
class SampleResult:
    """A published synthetic dataset."""

    dataset: DatasetReference
    contact_sheet: str
    """URI of the contact sheet: the first images of every diagnosis, a row each."""


def sample(
    config: SampleConfig,
    model_uri: str,
    output: str,
    *,
    dataset: str | None = None,
    part: Part | None = None,
    work: str | None = None,
) -> SampleResult:
    """Draws synthetic images and publishes them as a dataset whose only split is ``train``.

    Each image has a random stream of its own, settled by seed and index, so that any one can be drawn again
    alone. Each says that it is synthetic, and how it was made, in its ``provenance`` and in the PNG itself, which does
    not name the model's place. Neither names the training image whose caption the prompt is from, and a prompt states
    of the patient only what several share. ``measured_tone`` is filled.
    Finished batches are kept as they come: a run that was killed and is started again draws the rest. Where the output
    holds the dataset of this very run, killed perhaps before it could report it, nothing is drawn.

    No safety checker looks at the images: those of Stable Diffusion take skin for nudity and return black images.

    Args:
        config: How many of what, and how they are drawn.
        model_uri: A generator: a folder, an ``s3://`` prefix, or a hub id.
        output: A new folder or ``s3://`` prefix.
        dataset: The captioned dataset whose ``train`` split gives captions and diagnoses.
        part: Only this part of the plan; `join_samples` makes one dataset of the parts.
        work: Folder or prefix that keeps finished batches; by default within ``output``. Where every attempt has an
            output of its own, name a place that stays.

    Raises:
        UsageError: The model or the output cannot be used, a dataset is needed, or the part holds no wanted image.
        DataError: A diagnosis has no captioned training image, or the model is damaged.
        StorageError: The output cannot be written.
        Interrupted: SIGTERM or Ctrl-C came; finished batches are kept.
    """
    source = Dataset.open(dataset) if dataset is not None else None
    planned = _planned(config, source, part)
    which = {"part": str(part)} if part else {}
    asked = _asked(config, model_uri, source)
    _refuse_another(output, asked.changed(**which))
    target, place = output_and_work(output, work)
    name = config.name or _name(source)
    params = config.model_dump(mode="json") | {"name": name, "model": model_uri, **which}
    with claimed(target), stage_run("sample", params) as run:
        generator = _generator(config, model_uri)
        origin = asked.changed(model_version=generator.version)
        drawn = Drawn(place, hashlib.sha256(json.dumps([__version__, origin.content()]).encode()).hexdigest()[:32])
        wanted = [_image_ids(kept) for _, kept in _kept(planned, config)]
        origin = origin.changed(**which)
        if not is_published(target, origin):
            with kept_when_interrupted(lambda: _progress_kept(drawn, wanted, place.uri)):
                samples = _samples(generator, planned, config, model_uri, source, drawn)
                _publish(samples, output, name, source, origin)
        result = _report(run, Dataset.open(output))
        drawn.clear(wanted)
        if not work:
            place.delete_all()  # what attempts of another configuration have left too
        return result


def _generator(config: SampleConfig, model_uri: str) -> "Generator":
    # Imported now: what is refused before needs none of the seconds that torch takes to load.
    from lesiongen.diffusion.sampling.generator import load_generator

    use_own_cores()
    return load_generator(
        model_uri,
        lora_scale=config.lora_scale,
        precision=config.mixed_precision,
        base=config.base,
        scheduler=config.scheduler,
        image_size=config.image_size,
    )


def _publish(samples: Iterable[Sample], output: str, name: str, source: Dataset | None, origin: SampleOrigin) -> None:
    licence, attribution = (source.manifest.licence, source.manifest.attribution) if source else (None, None)
    with DatasetWriter(output, name=name, licence=licence, attribution=attribution, origin=origin) as writer:
        for item in samples:
            writer.add(item)
        writer.documents |= _documents(Dataset.open(writer.finished()))


def join_samples(parts: Sequence[str], output: str) -> SampleResult:
    """Publishes the parts of a synthetic dataset as the dataset that one job would have drawn.

    Where the output holds that dataset already, of a call that was killed perhaps before it could report it, it is
    kept.

    Args:
        parts: Every part once, in any order.
        output: New folder or prefix.

    Raises:
        UsageError: A part is missing or given twice, the parts are not of one job, or one of the addresses holds no
            dataset.
    """
    datasets = [Dataset.open(part) for part in parts]
    target = open_storage(output)
    with claimed(target), stage_run("sample", {"parts": list(parts)}) as run:
        if not is_published(target, datasets[0].manifest.origin.whole()):
            join_parts(datasets, output, name=datasets[0].manifest.name, documents=_documents)
        return _report(run, Dataset.open(output))


def _planned(config: SampleConfig, source: Dataset | None, part: Part | None) -> list[list[Request]]:
    """Parts share batches, not images: each image is drawn in the company that it has in the whole.

    Where there are fewer batches than parts, batches are made smaller.
    """
    wanted = requests(config, source)
    shared = batches(wanted, config.batch_size)
    if part is None:
        return shared
    if len(shared) < part.count:
        shared = batches(wanted, max(len(wanted) // part.count, 1))
    rows = part.rows(len(shared))
    planned = shared[rows.start : rows.stop]
    if not _kept(planned, config):
        raise _held_elsewhere(config.only[0], shared, part)
    return planned


def _held_elsewhere(index: int, shared: Sequence[Sequence[Request]], part: Part) -> UsageError:
    batch = next(number for number, batch in enumerate(shared) if index in [request.index for request in batch])
    parts = (Part(number, part.count) for number in range(1, part.count + 1))
    holder = next(other for other in parts if batch in other.rows(len(shared)))
    return UsageError(
        f"only = {index}: part {part} contains none of the wanted images", hint=f"Image {index} is in part {holder}."
    )


def _kept(planned: Sequence[Sequence[Request]], config: SampleConfig) -> list[tuple[Sequence[Request], list[Request]]]:
    """Pairs every batch with those of its images that are wanted; batches without any are left out."""
    pairs = [(batch, [item for item in batch if not config.only or item.index in config.only]) for batch in planned]
    return [(batch, kept) for batch, kept in pairs if kept]


def _progress_kept(drawn: Drawn, wanted: Sequence[Sequence[str]], place: str) -> str:
    return f"{drawn.count(wanted):,} of {sum(map(len, wanted)):,} images are drawn and kept in {place}"


def _refuse_another(output: str, asked: SampleOrigin) -> None:
    """Refuses an output that holds a dataset of another request; the model's version is not compared."""
    storage = open_storage(output)
    if storage.exists(MANIFEST_NAME):
        origin = read_manifest(storage).origin
        if not isinstance(origin, SampleOrigin) or origin.changed(model_version=None) != asked:
            raise already_holds(storage.uri, "a dataset")


def _samples(
    generator: "Generator",
    planned: Sequence[Sequence[Request]],
    config: SampleConfig,
    model_uri: str,
    source: Dataset | None,
    drawn: Drawn,
) -> Iterator[Sample]:
    pairs = _kept(planned, config)
    with progress("Sampling", total=sum(len(kept) for _, kept in pairs), unit="images") as bar:
        for batch, kept in pairs:
            samples = drawn.get(_image_ids(kept))
            if samples is None:
                images = dict(zip(batch, generator.draw(batch, config), strict=True))
                samples = [
                    _sample(request, images[request], generator.provenance(request, config, model_uri), source)
                    for request in kept
                ]
                drawn.put(samples)
            yield from samples
            bar.advance(len(kept))


def _documents(dataset: Dataset) -> dict[str, str | bytes | None]:
    return {CONTACT_SHEET: _png(_sheet(dataset))}


def _report(run: StageRun, dataset: Dataset) -> SampleResult:
    """Reports what is published, by this call or by one that was killed before it could."""
    storage, published = open_storage(dataset.uri), dataset.reference()
    with storage.fetch(CONTACT_SHEET) as sheet:
        run.log_image(sheet, CONTACT_SHEET)
    run.log_metrics({"images": published.rows})
    run.set_tags({"dataset_uri": published.uri, "dataset_version": published.version})
    return SampleResult(published, f"{storage.uri}/{CONTACT_SHEET}")


def _sheet(dataset: Dataset) -> Image.Image:
    """Lays the first images of every diagnosis out below one another; a row that is not full ends in blank tiles."""
    table = dataset.metadata(["image_id", "diagnosis"])
    firsts = table.groupby("diagnosis").head(SHEET_COLUMNS).sort_values("diagnosis", kind="stable")
    columns = int(firsts["diagnosis"].value_counts().max())
    decoded = {item.image_id: decode(item.image) for item in dataset.pick(list(firsts["image_id"]))}
    images, captions = [], []
    for diagnosis, rows in firsts.groupby("diagnosis"):
        row = [decoded[image_id] for image_id in rows["image_id"]]
        blank = [Image.new("RGB", row[0].size, "white")] * (columns - len(row))
        images += [*row, *blank]
        captions += [str(diagnosis)] * len(row) + [""] * len(blank)
    return contact_sheet(images, captions, columns=columns)


def _image_id(request: Request) -> str:
    return f"synthetic-{request.index:06d}"


def _image_ids(batch: Sequence[Request]) -> list[str]:
    return [_image_id(request) for request in batch]


def _sample(request: Request, image: Image.Image, provenance: SyntheticProvenance, source: Dataset | None) -> Sample:
    return Sample(
        image=encode_png(image, provenance.for_image()),
        image_id=_image_id(request),
        diagnosis=request.diagnosis,
        split="train",
        caption=request.prompt,
        measured_tone=measure(image).tone,
        provenance=provenance.text(),
        source="lesiongen",
        # What was learnt from images under a licence stays under it.
        licence=source.manifest.licence if source else None,
        attribution=source.manifest.attribution if source else None,
    )


def _name(source: Dataset | None) -> str:
    return "synthetic" if source is None else synthetic_name(source.manifest.name)


def _asked(config: SampleConfig, model_uri: str, source: Dataset | None) -> SampleOrigin:
    """Returns the dataset's origin without the version of the model."""
    return SampleOrigin(
        stage="sample",
        # Where the base lies changes nothing: it is of the version that the model's own version names.
        config=config.model_dump(mode="json", exclude={"base"}),
        model=model_uri,
        captions=None if source is None else source.reference().version,
    )


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
