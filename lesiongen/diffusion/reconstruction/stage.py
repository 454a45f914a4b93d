"""The stage: the training images of a dataset, each as the autoencoder of a generator gives it back, as a dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image

from lesiongen import __version__
from lesiongen.dataset import Dataset, DatasetWriter
from lesiongen.dataset.manifest import MANIFEST_NAME, read_manifest
from lesiongen.dataset.schema import Sample
from lesiongen.dataset.writer import is_published
from lesiongen.diffusion.reconstruction.config import ReconstructConfig
from lesiongen.diffusion.sampling.drawn import Drawn, output_and_work
from lesiongen.errors import DataError
from lesiongen.imaging import decode, encode_png
from lesiongen.interruption import kept_when_interrupted
from lesiongen.names import reconstructed_name
from lesiongen.parallel import use_own_cores
from lesiongen.progress import progress
from lesiongen.records.origin import ReconstructOrigin
from lesiongen.records.provenance import ReconstructedProvenance, is_generated
from lesiongen.references import DatasetReference
from lesiongen.storage import already_holds, claimed, json_digest, open_storage
from lesiongen.tracking import stage_run

if TYPE_CHECKING:
    from lesiongen.diffusion.reconstruction.autoencoder import Autoencoder

__all__ = ["ReconstructResult", "reconstruct"]

SPLIT = "train"


@dataclass(frozen=True)
class ReconstructResult:
    """The published dataset of reconstructions."""

    dataset: DatasetReference


def reconstruct(
    config: ReconstructConfig, model_uri: str, dataset_uri: str, output: str, *, work: str | None = None
) -> ReconstructResult:
    """Publishes the training images of a dataset as a generator's autoencoder gives them back.

    Each image is encoded at the generator's size and the mean of its latents is decoded, without noise, denoiser or
    augmentation. A classifier trained on these images shows what the autoencoder alone loses: what the generator draws
    passes through the same decoder. Ids, labels and all other columns are those of the original. Each image says in its
    ``provenance`` and in the PNG itself that it is a reconstruction, and of which model: no stage takes it for a real
    image, but it shows a patient, and is shown and handed on only where a real image may be.

    Finished batches are kept as they come: a run that was killed and is started again makes the rest.

    Args:
        config: The side of the images, and the name of the dataset.
        model_uri: A generator: a folder, an ``s3://`` prefix, or a hub id.
        dataset_uri: The dataset; only its ``train`` split is read.
        output: A new folder or ``s3://`` prefix.
        work: Folder or prefix that keeps finished batches; by default within ``output``.

    Raises:
        UsageError: The model or the output cannot be used, or the model has no autoencoder.
        DataError: The dataset has no training image, one cannot be decoded, or the model is damaged.
        StorageError: The output cannot be written.
        Interrupted: SIGTERM or Ctrl-C came; finished batches are kept.
    """
    source = _with_real_images(dataset_uri)
    asked = ReconstructOrigin(
        stage="reconstruct",
        # Where the base lies changes nothing: it is of the version that the model's own version names.
        config=config.model_dump(mode="json", exclude={"base"}),
        model=model_uri,
        dataset=source.uri,
        dataset_version=source.manifest.version,
    )
    _refuse_another(output, asked)
    target, place = output_and_work(output, work)
    name = config.name or reconstructed_name(source.manifest.name)
    params = config.model_dump(mode="json") | {"name": name, "model": model_uri, "dataset": source.uri}
    with claimed(target), stage_run("reconstruct", params) as run:
        autoencoder = _autoencoder(config, model_uri)
        origin = asked.changed(model_version=autoencoder.version)
        made = Drawn(place, json_digest([__version__, origin.content()])[:32])
        batches = _batches(source, config.batch_size)
        if not is_published(target, origin):
            with kept_when_interrupted(lambda: _progress_kept(made, batches, place.uri)):
                _publish(_samples(autoencoder, source, batches, model_uri, made), output, name, source, origin)
        published = Dataset.open(output).reference()
        run.log_metrics({"images": published.rows})
        run.set_tags({"dataset_uri": published.uri, "dataset_version": published.version})
        made.clear(batches)
        if not work:
            place.delete_all()  # what attempts of another configuration have left too
        return ReconstructResult(published)


def _with_real_images(uri: str) -> Dataset:
    source = Dataset.open(uri)
    if not source.manifest.splits.get(SPLIT):
        raise DataError(f"{source.uri} has no {SPLIT} images", hint="Give the dataset that the model was trained on.")
    if all(is_generated(made) for made in source.metadata(["provenance"], SPLIT)["provenance"]):
        raise DataError(f"{source.uri} has no real {SPLIT} images", hint="Give the dataset of real images.")
    return source


def _autoencoder(config: ReconstructConfig, model_uri: str) -> "Autoencoder":
    # Imported now: what is refused before needs none of the seconds that torch takes to load.
    from lesiongen.diffusion.reconstruction.autoencoder import load_autoencoder

    use_own_cores()
    return load_autoencoder(model_uri, config)


def _refuse_another(output: str, asked: ReconstructOrigin) -> None:
    """Refuses an output that holds a dataset of another request; the model's version is not compared."""
    storage = open_storage(output)
    if storage.exists(MANIFEST_NAME):
        origin = read_manifest(storage).origin
        if not isinstance(origin, ReconstructOrigin) or origin.changed(model_version=None) != asked:
            raise already_holds(storage.uri, "a dataset")


def _batches(source: Dataset, size: int) -> list[list[str]]:
    """Returns the ids of the training images, as many in a list as are kept at once."""
    image_ids = list(source.metadata(["image_id"], split=SPLIT)["image_id"])
    return [image_ids[start : start + size] for start in range(0, len(image_ids), size)]


def _progress_kept(made: Drawn, batches: Sequence[Sequence[str]], place: str) -> str:
    return f"{made.count(batches):,} of {sum(map(len, batches)):,} images are reconstructed and kept in {place}"


def _publish(samples: Iterator[Sample], output: str, name: str, source: Dataset, origin: ReconstructOrigin) -> None:
    manifest = source.manifest
    with DatasetWriter(
        output, name=name, licence=manifest.licence, attribution=manifest.attribution, origin=origin
    ) as writer:
        for sample in samples:
            writer.add(sample)


def _samples(
    autoencoder: "Autoencoder", source: Dataset, batches: Sequence[Sequence[str]], model_uri: str, made: Drawn
) -> Iterator[Sample]:
    provenance = ReconstructedProvenance(
        model=model_uri, model_version=autoencoder.version, image_size=autoencoder.image_size
    )
    originals = source.samples(SPLIT)
    with progress("Reconstructing", total=sum(map(len, batches)), unit="images") as bar:
        for image_ids in batches:
            batch = [next(originals) for _ in image_ids]
            samples = made.get(image_ids)
            if samples is None:
                images = autoencoder.reconstruct([_decoded(sample, source.uri) for sample in batch])
                samples = [
                    replace(sample, image=encode_png(image, provenance.for_image()), provenance=provenance.text())
                    for sample, image in zip(batch, images, strict=True)
                ]
                made.put(samples)
            yield from samples
            bar.advance(len(image_ids))


def _decoded(sample: Sample, uri: str) -> Image.Image:
    try:
        return decode(sample.image)
    except DataError as error:
        hint = "Run lesiongen validate on the dataset; it lists the images that are damaged."
        raise DataError(f"{uri}: image {sample.image_id}: {error}", hint=hint) from error
