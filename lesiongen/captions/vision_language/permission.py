"""Which images may leave this machine."""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import TypeGuard
from urllib.parse import urlsplit

from lesiongen.captions.vision_language.config import VisionLanguageConfig
from lesiongen.errors import UsageError
from lesiongen.records.provenance import is_synthetic

__all__ = ["forbidden", "host_of", "is_loopback", "refuse_uploads", "stays_here", "unknown_names"]

NO_SOURCE = "no source"


def host_of(url: str) -> str:
    """Returns an address's host and port."""
    return urlsplit(url).netloc


def is_loopback(url: str) -> bool:
    """Says whether an address can lead to this machine alone."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def stays_here(config: VisionLanguageConfig) -> bool:
    """Says whether an image that the model sees stays on this machine.

    It does with a local model, and with a server on loopback, which is this machine's own; but not where Ollama, under
    a name that ends in ``cloud``, passes questions on. Another relay on loopback cannot be distinguished from a model.
    """
    if config.url is None:
        return True
    return is_loopback(config.url) and not config.model.lower().endswith("cloud")


def forbidden(origins: Iterable[tuple[str | None, str | None]], config: VisionLanguageConfig) -> Counter[str]:
    """Counts the images of each data set that have not been allowed to leave; synthetic images may.

    Args:
        origins: Each image's ``source`` and ``provenance``.
        config: Where the images would go, and what has been allowed.
    """
    if stays_here(config):
        return Counter()
    return Counter(
        source if _is_named(source) else NO_SOURCE
        for source, provenance in origins
        if not is_synthetic(provenance) and not (_is_named(source) and source in config.allow_upload)
    )


def unknown_names(sources: Iterable[str | None], config: VisionLanguageConfig) -> str | None:
    """Says which names of ``allow_upload`` are not a source of the images, and which ones are; None if all names are.

    Args:
        sources: Each image's ``source``.
        config: What has been allowed.
    """
    there = {source if _is_named(source) else NO_SOURCE for source in sources}
    if not (unknown := [name for name in config.allow_upload if name not in there]):
        return None
    return f"--allow-upload {', '.join(unknown)}: no image has this source; the sources are {', '.join(sorted(there))}"


def _is_named(source: str | None) -> TypeGuard[str]:
    """Says whether there is a source: a table has other things in the place of a missing text."""
    return isinstance(source, str) and source != ""


def refuse_uploads(origins: Iterable[tuple[str | None, str | None]], config: VisionLanguageConfig) -> None:
    """Refuses images of real patients whose data set has not been allowed to leave.

    Raises:
        UsageError: The message names the data sets and the host; nothing has been sent.
    """
    known = list(origins)
    counts = forbidden(known, config)
    if counts:
        counted = ", ".join(f"{source} ({count:,} images)" for source, count in sorted(counts.items()))
        unknown = unknown_names((source for source, _ in known), config)
        raise UsageError(
            f"Images may not be sent to {host_of(config.url or '')}: {counted}" + (f". {unknown}" if unknown else ""),
            hint="If the data set's licence and your approval allow it, say so with --allow-upload SOURCE. An image "
            "without a source cannot be allowed: ingest it again with --set source_name=NAME.",
        )
