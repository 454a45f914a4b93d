"""The options of ``lesiongen evaluate``: what is read, what is trained, and what it has to beat."""

from typing import Annotated

import typer

__all__ = [
    "Classifiers",
    "ControlImages",
    "Controls",
    "Extractor",
    "LabelOnlyImages",
    "Output",
    "Protocol",
    "Real",
    "RealImages",
    "Reconstructed",
    "Sweep",
    "Synthetic",
    "TestSets",
]

Real = Annotated[str, typer.Option(help="Dataset of real images with its three splits.")]
Output = Annotated[str, typer.Option(help="A new folder or s3:// prefix for the report and its numbers.")]
Synthetic = Annotated[
    str | None, typer.Option(help="Dataset of synthetic images; that of the sweep, where one is named.")
]
Sweep = Annotated[
    str | None, typer.Option(help="Output of lesiongen sweep: its settings are taken, and its choice written down.")
]
Reconstructed = Annotated[
    str | None, typer.Option(help="What lesiongen reconstruct made of the real images: which part loses what.")
]
TestSets = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=DATASET",
        help="A test set from elsewhere: all of its images are tested on as well, and reported apart. Repeatable.",
    ),
]
Classifiers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="small, resnet18, lite0, or a transformers image classifier: its folder, s3:// address, or "
        "hub:OWNER/NAME. Repeatable; verdict and tests rest on the first.",
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How synthetic images are mixed in: curriculum, concat, pretrain, separate-norm or minority.",
    ),
]
Controls = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="What synthetic images have to beat: permuted-labels, longer, further-images, label-only. Repeatable.",
    ),
]
ControlImages = Annotated[
    str | None, typer.Option(metavar="DATASET", help="The other real images of --control further-images.")
]
LabelOnlyImages = Annotated[
    str | None, typer.Option(metavar="DATASET", help="The synthetic images of --control label-only.")
]
Extractor = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Measure fidelity in the features of this transformers image model: its folder, s3:// address, or "
        "hub:OWNER/NAME.",
    ),
]
RealImages = Annotated[
    bool | None,
    typer.Option("--real-images/--no-real-images", help="Show real images in the report, or leave them out."),
]
