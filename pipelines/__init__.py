"""Kubeflow pipelines built from the components."""

__all__ = ["PIPELINES"]

PIPELINES = {
    "release": "Images and a table become a text-to-image model, evaluated, registered and decided upon.",
    "merge": "Several collections of images become one dataset, each checked, then the whole.",
    "drift": "New images are compared with a reference dataset; the run fails when they have drifted too far.",
    "evaluate": "A dataset of synthetic images is evaluated against one of real images.",
    "synthesise": "A model that exists draws a dataset of synthetic images, in parts side by side.",
    "crossfit": "A dataset is divided into folds; each is the test split of one evaluation, and all are pooled.",
}
"""The pipelines by name, and what each does. The module of that name in this package holds it as ``PIPELINE``."""
