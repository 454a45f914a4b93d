"""Which images may leave this machine."""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from lesiongen.captions.vision_language.config import VisionLanguageConfig
from lesiongen.dataset import Sample, is_synthetic
from lesiongen.errors import UsageError

__all__ = ["host_of", "is_loopback", "refuse_uploads", "stays_here"]


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
    a name that ends in ``cloud``, passes questions on. Another relay on loopback cannot be told from a model.
    """
    if config.url is None:
        return True
    return is_loopback(config.url) and not config.model.lower().endswith("cloud")


def refuse_uploads(samples: Sequence[Sample], config: VisionLanguageConfig) -> None:
    """Refuses images of real patients whose data set has not been allowed to leave.

    Raises:
        UsageError: The message names the data sets and the host; nothing has been sent.
    """
    if config.url is None or stays_here(config):
        return
    counts = Counter(
        sample.source or "no source"
        for sample in samples
        if not is_synthetic(sample.provenance) and (sample.source is None or sample.source not in config.allow_upload)
    )
    if counts:
        told = ", ".join(f"{source} ({count:,} images)" for source, count in sorted(counts.items()))
        raise UsageError(
            f"Images of {told} may not be sent to {host_of(config.url)}",
            hint="If the data set's licence and your approval allow it, say so with --allow-upload SOURCE. An image "
            "without a source cannot be allowed: ingest it again with --source-name.",
        )
