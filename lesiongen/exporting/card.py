"""The dataset card, ``README.md``: what the images are, what they are for and not for, and how they were made."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from lesiongen.dataset import diagnosis_phrase
from lesiongen.exporting.licence import hub_licence, licence_url
from lesiongen.records.export import ExportedCopies, ExportRecord
from lesiongen.records.text import number
from lesiongen.redaction import printable

__all__ = ["dataset_card"]

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_MOST = 12
"""Values that a sentence lists."""


def dataset_card(record: ExportRecord, facts: Sequence[Mapping[str, Any]]) -> str:
    """Returns the card as Hugging Face reads it: a header in YAML, then Markdown.

    Args:
        record: What the export holds.
        facts: What is handed on of the provenance of each image.
    """
    drawn = [each for each in facts if "prompt" in each]
    header = yaml.safe_dump(_header(record, with_prompts=bool(drawn)), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {record.name}",
        _summary(record, len(drawn)),
        *_uses(),
        *_making(record, drawn),
        *_counts(record),
        *_near_copies(record),
        *_limits(record),
        *_files(),
        *_terms(record),
    ]
    return f"---\n{header}---\n\n" + "\n\n".join(parts) + "\n"


def _header(record: ExportRecord, *, with_prompts: bool) -> dict[str, Any]:
    licence = hub_licence(record.licence)
    header: dict[str, Any] = {"pretty_name": record.name, "license": licence}
    if licence == "other":
        header |= {"license_name": re.sub(r"[^a-z0-9.]+", "-", record.licence.lower()).strip("-") or "other"}
        header |= {"license_link": "LICENSE"}
    images = record.images or 0
    tasks = ["image-classification", *(["text-to-image"] if with_prompts else [])]
    return header | {
        "task_categories": tasks,
        "annotations_creators": ["machine-generated"],
        "tags": ["synthetic", "medical", "dermatology", "skin-lesion", "lesiongen"],
        "size_categories": [next((name for limit, name in _SIZES if images < limit), "n>1M")],
    }


def _summary(record: ExportRecord, drawn: int) -> str:
    made = "made" if drawn == record.images else "exported"
    resembling = ", but may resemble one" if _may_resemble(record) else ""
    meaning = {record.images: " The diagnosis of an image is the one that it was drawn for: nobody has diagnosed it."}
    known = len(record.diagnoses.keys() - {"unknown"})
    diagnoses = "1 diagnosis" if known == 1 else f"{known} diagnoses"
    return (
        f"{record.images:,} **synthetic** images of skin lesions, {diagnoses}, {made} with "
        f"LesionGen {record.lesiongen_version}. Every image was drawn by a generative model. None is a photograph: no "
        f"image was taken of a patient{resembling}.{meaning.get(drawn, '')}"
    )


def _may_resemble(record: ExportRecord) -> bool:
    """Tells whether near copies were found, or not looked for."""
    before, copies = record.near_copies_left_out_before, record.near_copies
    if copies is None:
        return before != 0
    return bool(before or copies.found or copies.search_above) or copies.of_training_images is False


def _uses() -> Iterator[str]:
    yield "## Intended use"
    yield _list(
        [
            "Train a classifier together with real images. Test it on real images of other patients than those whose "
            "images trained the classifier or the generator.",
            "Study synthetic images: what they show, what they lack, whether a model can be trained on them.",
            "Teach, demonstrate and test software without images of patients.",
        ]
    )
    yield "## Not for"
    yield _list(
        [
            "Diagnosis, treatment or advice: no image is evidence about a patient, or about a disease.",
            "Testing: the performance of a classifier on these images says nothing about its performance on patients.",
            "Statistics: how often a diagnosis, an age or a skin tone occurs here was chosen, not observed.",
            "Use as photographs: call the images synthetic wherever you show or pass them on.",
            "Looking for the patients whose images the generator was trained on.",
        ]
    )


def _making(record: ExportRecord, drawn: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## How the images were made"
    if not drawn:
        yield "The images came from another program, which marked them as synthetic. No more is recorded."
        return
    listed = _some(f"`{version[:12]}`" for version in record.model_versions)
    versions = f"version {listed}" if listed else "of unknown version"
    named = next((f"**{each['model_name']}**, " for each in drawn if each.get("model_name")), "")
    images = "Each image" if len(drawn) == record.images else f"Of the {record.images:,} images, {len(drawn):,}"
    yield (
        f"{images} {'was' if len(drawn) == record.images else 'were'} drawn by a text-to-image diffusion model "
        f"({named}{versions}) from a prompt that describes a lesion. Prompts come from captions of the "
        "training images, or from a plan."
    )
    rows = [
        (title, _some(f"{value}" for value in values))
        for title, name in _SETTINGS.items()
        if (values := sorted({each[name] for each in drawn if each.get(name) not in (None, "")}))
    ]
    yield _table(("setting", "value"), rows)
    yield (
        "The table and each image file state the prompt, the seed, the number of the image and the version of the "
        "model. A file states them in its PNG text fields and its EXIF; its XMP has IPTC's digital source type "
        "`trainedAlgorithmicMedia`."
    )
    if len(drawn) < (record.images or 0):
        yield "The other images came from another program; how they were drawn is not recorded."


_SETTINGS = {
    "guidance scale": "guidance_scale",
    "steps": "steps",
    "scheduler": "scheduler",
    "negative prompt": "negative_prompt",
    "seed": "seed",
}


def _counts(record: ExportRecord) -> Iterator[str]:
    yield "## Counts"
    yield _table(("split", "images"), _numbered(record.splits))
    named = {_name_of(code): count for code, count in record.diagnoses.items()}
    yield _table(("diagnosis", "images"), _numbered(named))
    yield _table(("skin tone, measured on the image", "images"), _numbered(record.measured_tones))
    if record.skin_tones:
        yield _table(("skin tone, as the dataset states it", "images"), _numbered(record.skin_tones))


def _near_copies(record: ExportRecord) -> Iterator[str]:
    yield "## Near copies of training images"
    if record.near_copies_left_out_before is not None:
        yield f"A selection before this export dropped {record.near_copies_left_out_before:,} near copies."
    if record.near_copies is not None:
        yield _searched(record.near_copies, record.images or 0)
        if record.near_copies.search_above is not None:
            yield _searched_together(record.near_copies)
        if record.near_copies.of_training_images is False:
            yield (
                "**The generator's own training images were not looked at**: the evaluation compared with the images "
                "of another dataset."
            )
        yield "The images that the generator's base model was trained on were not looked at."
    elif record.near_copies_left_out_before is None:
        yield "**They were not looked for** by this export. An image may be a near copy of a patient's image."


def _searched(found: ExportedCopies, images: int) -> str:
    percentile = number(found.percentile, "g")
    what = (
        "An evaluation compared every image with the training images of a real dataset by one measure "
        f"({found.method}). {found.found:,} of {images + (found.left_out or 0):,} images were more similar to a "
        f"training image than {percentile}% of held-out real images are. "
    )
    done = (
        f"**{found.left_out:,} near copies were left out.** "
        if found.left_out or not found.found
        else f"**They were not left out: {found.found:,} near copies are among the images.** "
    )
    few = "" if found.calibrated else "Few held-out images set the threshold, so it is not firm. "
    return f"{what}{done}{few}A search finds only the kinds of copies that its measure can see."


def _searched_together(found: ExportedCopies) -> str:
    chance = f", {number(found.above_chance, '+.1%')} against chance" if found.above_chance is not None else ""
    return (
        f"A search by several descriptors together called {found.search_above:,} of {found.search_images or 0:,} "
        f"evaluated images near copies{chance}; only the measure above decides what is left out."
    )


def _limits(record: ExportRecord) -> Iterator[str]:
    yield "## Limits"
    unknown = record.measured_tones.get("unknown", 0)
    tones = f" No tone was measured on {unknown:,} images." if unknown else ""
    yield _list(
        [
            "The generator knows only what its training images showed. What these lack, above all dark skin and rare "
            "diagnoses, is lacking or drawn badly here, too.",
            "An image may not show its diagnosis, or may look like no lesion at all. No dermatologist has looked at "
            "the images for this export.",
            f"The measured tone is computed from the pixels of the skin around the lesion.{tones}",
            "Ages are rounded to 5 years; 85 means 85 and over. Blank cells are not known.",
            "A prompt says what was asked for, not what the image shows.",
        ]
    )


def _files() -> Iterator[str]:
    yield "## Files"
    yield _list(
        [
            "`train/metadata.csv`, and one for each other split: a row for each image, in the columns of the ISIC "
            "archive, with `image_manipulation` = `synthetic`. `isic_id` is a name of this export, not of the archive.",
            "`LICENSE`: the licence, and whom to name.",
            "`SHA256SUMS`: checksums; `sha256sum -c SHA256SUMS` checks every file.",
            "`export.json`: the counts on this page, for programs.",
        ]
    )
    yield (
        "```python\nfrom datasets import load_dataset\n\n"
        'images = load_dataset("imagefolder", data_dir="path/to/this/folder", split="train")\n```'
    )


def _terms(record: ExportRecord) -> Iterator[str]:
    yield "## Licence"
    url = licence_url(record.licence)
    yield f"[{_plain(record.licence)}]({url})" if url else f"{_plain(record.licence)}: see `LICENSE`"
    if record.attribution:
        yield f"Name: {_plain(record.attribution)}"


def _name_of(code: str) -> str:
    name = diagnosis_phrase(code)
    return name if name == code else f"{name} (`{code}`)"


def _numbered(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, f"{count:,}") for name, count in counts.items()]


def _some(texts: Iterable[str]) -> str:
    """Returns texts in a list, cut short where there are many."""
    listed = list(texts)
    more = [f"and {len(listed) - _MOST:,} more"] if len(listed) > _MOST else []
    return ", ".join([*listed[:_MOST], *more])


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(header: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [header, ("---", "---:" if header[1] == "images" else "---"), *((_plain(a), _plain(b)) for a, b in rows)]
    return "\n".join(f"| {left} | {right} |" for left, right in lines)


def _plain(text: str) -> str:
    r"""Returns a text of strangers as Markdown that shows it and runs nothing of it.

    >>> print(_plain("nevus | <b>"))
    nevus \| &lt;b&gt;
    """
    shown = " ".join(printable(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\\\|\[\]*])", r"\\\1", shown)
