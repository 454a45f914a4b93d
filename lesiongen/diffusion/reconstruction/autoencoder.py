"""The autoencoder of a published generator, loaded for reconstructions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from lesiongen.diffusion.families.family import Reconstructor
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.latents.encoding_job import device_here
from lesiongen.diffusion.model.folder import local_model, model_version, read_manifest
from lesiongen.diffusion.reconstruction.config import ReconstructConfig
from lesiongen.diffusion.sampling.generator import base_folder
from lesiongen.errors import UsageError
from lesiongen.imaging import square, to_array

__all__ = ["Autoencoder", "load_autoencoder"]


@dataclass(frozen=True)
class Autoencoder:
    """An autoencoder, and the generator that it belongs to.

    Attributes:
        reconstructor: Encodes and decodes pixels.
        version: Version of the generator.
        image_size: Side of the images in pixels.
    """

    reconstructor: Reconstructor
    version: str
    image_size: int

    def reconstruct(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """Returns the centre square of each image, at the generator's size, encoded and decoded."""
        return [self._reconstruct(image) for image in images]

    def _reconstruct(self, image: Image.Image) -> Image.Image:
        # One by one: the result is then the same whatever else is in the batch, and the memory is that of one image.
        pixels = torch.from_numpy(to_array(square(image, self.image_size))).permute(2, 0, 1)[None] * 2 - 1
        decoded = (self.reconstructor(pixels)[0] / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        return Image.fromarray(decoded.permute(1, 2, 0).cpu().numpy())


def load_autoencoder(uri: str, config: ReconstructConfig) -> Autoencoder:
    """Loads the autoencoder of a whole pipeline, or of the base of a LoRA adapter, onto a GPU where there is one.

    Args:
        uri: The generator: a folder, an ``s3://`` prefix, or a hub id.
        config: The side of the images, and where the base of an adapter is.

    Raises:
        UsageError: The model is missing, of an unknown kind or has no autoencoder, does not say the size of its images,
            or a base was given for a model that is not an adapter.
        DataError: A file is damaged, or the base is not the one that the adapter was trained on.
    """
    with local_model(uri) as folder:
        manifest = read_manifest(folder)
        size = config.image_size or (manifest.image_size if manifest else None)
        if size is None:
            hint = "Name the side in pixels: --image-size 512 for Stable Diffusion 1.x, for example."
            raise UsageError(f"{uri} does not say at which size it was trained", hint=hint)
        with base_folder(uri, folder, manifest, config.base) as whole:
            family = family_of(whole, manifest.prediction if manifest else None)
            return Autoencoder(family.reconstructor(device_here()), model_version(folder), size)
