"""Model manifests as a training writes them, without weights."""

from lesiongen.records.model import ModelManifest, Training


def manifest(dataset, *, base=None, method="full", **training):
    """Returns the manifest of a model that was trained on a dataset, ``uri`` and ``version`` of it, or on none."""
    return ModelManifest(
        family="stable-diffusion",
        method=method,
        base=base,
        prediction="epsilon",
        image_size=32,
        training=Training(dataset=dataset, **training),
        libraries={},
        files={},
    )
