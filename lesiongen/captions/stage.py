"""The caption stage: fills the reports and captions of a dataset, whole or in parts."""

from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from lesiongen.captions.captioner import Captioner
from lesiongen.captions.config import CaptionConfig, WriterName
from lesiongen.captions.describing import described, work_key
from lesiongen.captions.journal import Journal
from lesiongen.captions.preview import Shown, outlined, preview_page
from lesiongen.captions.report import caption_page, worst_images
from lesiongen.captions.result import CaptionCounts, CaptionResult
from lesiongen.captions.writers import Writer
from lesiongen.concepts import label_only, measure, read_report
from lesiongen.config import parse_config
from lesiongen.dataset import Dataset, Part, Sample, derive, is_synthetic, join_parts
from lesiongen.dataset.parts import ORIGIN_KEY
from lesiongen.imaging import decode
from lesiongen.interruption import kept_when_interrupted
from lesiongen.progress import progress
from lesiongen.reporting import render
from lesiongen.seeds import derive_seed
from lesiongen.storage import open_storage
from lesiongen.tracking import StageRun, stage_run

__all__ = ["PAGE_NAME", "PREVIEW_NAME", "REPORT_NAME", "caption", "join_captions"]

REPORT_NAME = "caption_report.json"
PAGE_NAME = "caption_report.html"
PREVIEW_NAME = "caption_preview.html"
WORST_CASE_SIDE = 192
WORK_FOLDER = "_work"


def caption(
    config: CaptionConfig, dataset_uri: str, output: str, *, part: Part | None = None, work: str | None = None
) -> CaptionResult:
    """Writes the report and the caption of every image.

    The columns ``concepts``, ``caption`` and ``measured_tone`` are filled; everything else, ``skin_tone`` above all,
    stays as it is. ``caption_report.json`` and the same as a page are written beside the new dataset. What the writers
    state is kept as it comes: a job that was killed and is started again measures and asks only for what is missing.

    Args:
        config: Writers, tokenizer and wording.
        dataset_uri: The dataset to caption.
        output: New folder or prefix for the captioned dataset.
        part: Only this part of the rows; `join_captions` makes one dataset of the parts.
        work: Folder or prefix that keeps unfinished work; by default within ``output``. Where every attempt has an
            output of its own, name a place that stays.

    Raises:
        UsageError: The tokenizer cannot be loaded, or the budget is too small for a diagnosis.
        DataError: An image cannot be decoded, or a report in the dataset is no report; the image is named.
        Interrupted: SIGTERM or Ctrl-C came; what the writers have stated is kept.
    """
    dataset = Dataset.open(dataset_uri)
    rows = part.rows(len(dataset)) if part else range(len(dataset))
    which = {ORIGIN_KEY: str(part)} if part else {}
    name = config.name or f"{dataset.manifest.name}-captioned"
    with stage_run("caption", {**config.model_dump(), "name": name, "dataset": dataset.uri, **which}) as run:
        captioner = Captioner(config)
        place = open_storage(work) if work else open_storage(output).child(WORK_FOLDER)
        journal = Journal(place, work_key(config, dataset.manifest.version))
        writers = _asked(config, dataset, rows)

        def transform(samples: Iterator[Sample]) -> Iterator[Sample]:
            with progress("Captioning", total=len(rows), unit="images") as bar:
                for sample, stated in described(config.writers, samples, rows, journal, writers):
                    yield captioner.captioned(sample, stated)
                    bar.advance()

        origin = {"stage": "caption", "config": config.model_dump(mode="json"), **which}
        with kept_when_interrupted(lambda: _kept(journal, rows, place.uri)):
            captioned = derive(dataset, output, transform, name=name, origin=origin, rows=rows)
        result = _report(run, captioner, captioned, captioner.counts)
        journal.clear()
        return result


def join_captions(parts: Sequence[str], output: str) -> CaptionResult:
    """Publishes the parts of a captioned dataset as the dataset that one job would have written.

    Args:
        parts: Every part once, in any order.
        output: New folder or prefix.

    Raises:
        UsageError: A part is missing or there twice, or the parts are not of one job.
        StorageError: There is no dataset at one of the addresses.
    """
    datasets = [Dataset.open(part) for part in parts]
    with stage_run("caption", {"parts": list(parts)}) as run:
        joined = join_parts(datasets, output, name=datasets[0].manifest.name)
        config = parse_config(CaptionConfig, joined.manifest.origin["config"])
        first, *others = (
            CaptionCounts.model_validate(open_storage(dataset.uri).read_json(REPORT_NAME)) for dataset in datasets
        )
        return _report(run, Captioner(config), joined, sum(others, first))


def _kept(journal: Journal, rows: range, place: str) -> str:
    return f"what was seen in {journal.count(rows):,} of {len(rows):,} images is kept in {place}"


def _asked(config: CaptionConfig, dataset: Dataset, rows: range) -> Mapping[WriterName, Writer]:
    """The writer that asks a model, which may be a large one: it is not copied into every process."""
    if config.vision_language is None:
        return {}
    from lesiongen.captions.vision_language.permission import refuse_uploads
    from lesiongen.captions.vision_language.writer import VisionLanguageWriter

    origins = dataset.metadata(["source", "provenance"]).iloc[rows.start : rows.stop]
    refuse_uploads(origins.itertuples(index=False, name=None), config.vision_language)
    return {"vision-language": VisionLanguageWriter(config.vision_language)}


def _report(run: StageRun, captioner: Captioner, captioned: Dataset, counts: CaptionCounts) -> CaptionResult:
    storage = open_storage(captioned.uri)
    content = counts.model_dump(mode="json")
    storage.write_json(REPORT_NAME, content)
    run.log_json(content, REPORT_NAME)
    run.log_metrics({"caption_tokens_mean": counts.mean_tokens, "images": counts.images})
    pictures = _outlined(captioned, worst_images(counts), allow_real_images=captioner.config.allow_real_images)
    page = render(caption_page(captioned.manifest.name, counts, pictures))
    storage.write_text(PAGE_NAME, page)
    run.log_text(page, PAGE_NAME)
    preview = None
    if shown := _shown(captioner, captioned):
        storage.write_text(PREVIEW_NAME, render(preview_page(captioned.manifest.name, shown, captioner.budget)))
        preview = f"{storage.uri}/{PREVIEW_NAME}"
    return CaptionResult(captioned.reference(), counts, f"{storage.uri}/{PAGE_NAME}", preview)


def _outlined(captioned: Dataset, names: Sequence[str], *, allow_real_images: bool) -> dict[str, Image.Image]:
    """Draws the lesion's outline on the images that may be shown."""
    samples = captioned.pick(list(names)) if names else ()
    allowed = (sample for sample in samples if allow_real_images or is_synthetic(sample.provenance))
    decoded = ((sample.image_id, decode(sample.image)) for sample in allowed)
    return {image_id: outlined(image, measure(image), WORST_CASE_SIDE) for image_id, image in decoded}


def _shown(captioner: Captioner, captioned: Dataset) -> list[Shown]:
    """Looks again at the images of the preview: the same report and seed give the same caption."""
    shown = []
    for sample in captioned.pick(_previewed(captioner.config, captioned)):
        image, report = decode(sample.image), read_report(sample.concepts)
        composed = captioner.compose(sample, report, label_alone=sample.caption == label_only(sample.diagnosis))
        shown.append(Shown(sample, image, report, composed, measure(image)))
    return shown


def _previewed(config: CaptionConfig, dataset: Dataset) -> list[str]:
    """Chooses images for the preview, the classes in turn."""
    if config.preview == 0:
        return []
    table = dataset.metadata(["image_id", "diagnosis", "provenance"])
    if not config.allow_real_images:
        table = table[table["provenance"].map(is_synthetic).astype(bool)]
    table = table.assign(draw=[derive_seed(config.seed, "preview", image_id) for image_id in table["image_id"]])
    table = table.sort_values("draw", kind="stable")
    table["turn"] = table.groupby("diagnosis").cumcount()
    return list(table.sort_values("turn", kind="stable")["image_id"].head(config.preview))
