"""What of the provenance of an image is handed on, and how an image says it."""

import json
import re
from typing import Any

from PIL import ExifTags, Image

from lesiongen import __version__
from lesiongen.imaging import decode, encode_png

__all__ = ["DISCLAIMER", "handed_on", "marked_png"]

DISCLAIMER = (
    "Synthetic image, drawn by a generative model. It was not taken of a patient, but may resemble one. "
    "It is not for diagnosis."
)
"""The same for every image: no search for near copies finds all of them."""
SOFTWARE = f"LesionGen {__version__}"
_KNOWN: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(
        ("image_manipulation", "model_version", "prompt", "negative_prompt", "scheduler", "precision"), str
    ),
    **dict.fromkeys(("seed", "index", "steps"), int),
    **dict.fromkeys(("guidance_scale", "lora_scale"), (int, float)),
}
"""The fields that are handed on, with their types."""
_VERSION = re.compile(r"[\w.+-]{1,128}")
"""A version of a model; an address, which another program may have written there, is not one."""
_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
"""IPTC's statement that a generative model has made an image (Photo Metadata Standard, Digital Source Type)."""
_ASCII = b"ASCII\0\0\0"
"""What EXIF's UserComment begins with."""


def handed_on(provenance: str, model_name: str | None = None) -> dict[str, Any]:
    """Returns what the provenance of a synthetic image says, less what stays with us.

    Only the known fields of a drawn image leave, each of its own type: not the address of the generator, and nothing
    that another program or an earlier release added, such as the training image whose caption was drawn.

    Args:
        provenance: A value of the ``provenance`` column.
        model_name: What the generator is called; None: nothing is added.

    >>> handed_on('{"image_manipulation": "synthetic", "caption_of": "ISIC_0000001"}')
    {'image_manipulation': 'synthetic'}
    """
    content = json.loads(provenance)
    facts = {name: content[name] for name, kind in _KNOWN.items() if isinstance(content.get(name), kind)}
    if not _VERSION.fullmatch(facts.get("model_version", "")):
        facts.pop("model_version", None)
    return facts | ({"model_name": model_name} if model_name else {})


def marked_png(data: bytes, facts: dict[str, Any], licence: str, attribution: str | None) -> bytes:
    """Encodes an image as PNG that says in its text fields, its EXIF and its XMP that it is synthetic, and how made.

    Args:
        data: The image file of the dataset; nothing but its pixels is taken.
        facts: What `handed_on` returned.
        licence: Licence of the image.
        attribution: Whom to name.
    """
    terms = f"{licence}; {attribution}" if attribution else licence
    texts = {"Disclaimer": DISCLAIMER, "Software": SOFTWARE, "Copyright": terms}
    return encode_png(decode(data), facts | texts, exif=_exif(facts, terms), xmp=_XMP)


def _exif(facts: dict[str, Any], terms: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = DISCLAIMER
    exif[ExifTags.Base.Software] = SOFTWARE
    exif[ExifTags.Base.Copyright] = terms  # what is not ASCII is a question mark here, and whole in the text fields
    comment = json.dumps(facts, sort_keys=True).encode("ascii")
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _ASCII + comment
    return exif.tobytes()
