"""The licence of an export: of the whole, in the words of those who read it."""

from collections.abc import Sequence

from lesiongen.dataset.licences import combine_licences
from lesiongen.errors import DataError, UsageError

__all__ = ["hub_licence", "isic_licence", "known_licence", "licence_file", "licence_of_whole", "licence_url"]

_CREATIVE_COMMONS = {
    "cc0-1.0",
    *(f"cc-{terms}-{version}" for terms in ("by", "by-sa", "by-nc", "by-nc-sa") for version in ("2.0", "3.0", "4.0")),
    *(f"cc-{terms}-{version}" for terms in ("by-nd", "by-nc-nd") for version in ("3.0", "4.0")),
}
_HUB = _CREATIVE_COMMONS - {"cc-by-sa-2.0", "cc-by-nd-3.0"} | {"apache-2.0", "mit"}
"""What the Hugging Face Hub calls the licences that data have."""
_ISIC = {"cc0-1.0": "CC-0", "cc-by-4.0": "CC-BY", "cc-by-nc-4.0": "CC-BY-NC"}
_AND = " AND "
"""Between licences that are in force beside each other, as `combine_licences` joins them."""
_SPELLED = {"cc-0": "cc0-1.0", "cc0": "cc0-1.0", "cc-zero": "cc0-1.0"}


def known_licence(text: object) -> str | None:
    """Returns a licence as it is stated; None where it is missing, or a merge did not know it of all images.

    >>> known_licence("CC BY-NC 4.0"), known_licence("terms of our hospital AND unknown")
    ('CC BY-NC 4.0', None)
    """
    if not isinstance(text, str):
        return None
    parts = {part.strip().lower() for part in text.split(_AND)}
    return None if parts & {"", "unknown"} else text


def licence_of_whole(texts: Sequence[str | None], given: str | None) -> str:
    """Returns the licence of all images together.

    Args:
        texts: Of each image; None where neither the image nor its dataset states one.
        given: What the user states for those.

    Raises:
        UsageError: Images have no licence and none is given, or one is given and every image has its own.
        DataError: The licences of the images contradict each other: the whole may not be handed on.
    """
    missing = sum(not text for text in texts)
    if missing and given is None:
        raise UsageError(
            f"{missing:,} of {len(texts):,} images have no licence",
            hint="State it with --licence: that of the images that the generator was trained on, or a stricter one.",
        )
    if given is not None and not missing:
        raise UsageError(
            f"licence = {given!r}: the dataset states the licence of every image already",
            hint="Omit --licence: an export keeps the licence of its dataset.",
        )
    # Read in parts: of a joined text only its first licence would be seen.
    combined = combine_licences(part for text in dict.fromkeys(texts) for part in (text or given or "").split(_AND))
    if combined.conflicts:
        raise DataError(
            f"The images cannot be handed on together: {'; '.join(combined.conflicts)}",
            hint="Export the merged datasets one by one.",
        )
    return combined.text


def _plain(text: str) -> str:
    """Returns a licence in lower case and hyphens.

    >>> _plain("CC BY-NC 4.0 International")
    'cc-by-nc-4.0'
    """
    short = "-".join(text.lower().removesuffix("international").replace("-", " ").split())
    return _SPELLED.get(short, short)


def hub_licence(text: str) -> str:
    """Returns what the Hugging Face Hub calls a licence, ``other`` for one that it does not list.

    >>> hub_licence("CC BY-NC 4.0"), hub_licence("terms of our hospital")
    ('cc-by-nc-4.0', 'other')
    """
    plain = _plain(text)
    return plain if plain in _HUB else "other"


def isic_licence(text: str) -> str:
    """Returns what the ISIC archive calls a licence, or the text as it is.

    >>> isic_licence("CC0-1.0"), isic_licence("CC BY-SA 4.0")
    ('CC-0', 'CC BY-SA 4.0')
    """
    return _ISIC.get(_plain(text), text)


def licence_url(text: str) -> str | None:
    """Returns where the text of a Creative Commons licence is; None for any other.

    >>> licence_url("CC BY-NC 4.0"), licence_url("terms of our hospital")
    ('https://creativecommons.org/licenses/by-nc/4.0/', None)
    """
    plain = _plain(text)
    if plain not in _CREATIVE_COMMONS:
        return None
    if plain == "cc0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    terms, _, version = plain.removeprefix("cc-").rpartition("-")
    return f"https://creativecommons.org/licenses/{terms}/{version}/"


def licence_file(name: str, text: str, attribution: str | None) -> str:
    """Returns the content of the file ``LICENSE``: which licence, where its text is, whom to name."""
    lines = [f"The images and tables of {name} are licensed under:", "", f"    {text}", ""]
    if url := licence_url(text):
        lines += [f"The text of the licence: {url}", ""]
    if attribution:
        lines += ["When you use or pass on the images, name:", "", f"    {attribution}", ""]
    lines += [
        "What a generator learnt from images under a licence stays under it. The images are synthetic: call them so",
        "wherever you show or pass them on. They are provided as they are, without any warranty.",
    ]
    return "\n".join(lines) + "\n"
