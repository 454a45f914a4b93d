"""What the manifest says of how a dataset was made, and a reader of the report should know."""

from lesiongen.dataset import DatasetManifest
from lesiongen.records.origin import IngestOrigin
from lesiongen.validation.findings import Finding
from lesiongen.validation.thresholds import Severity, Thresholds

__all__ = ["REMOVED", "check_origin"]

REMOVED = "private_metadata_removed"
_SEVERITY: Severity = "info"


def check_origin(config: Thresholds, manifest: DatasetManifest) -> list[Finding]:
    """Reports what ingest removed from image files because it could identify a person, by kind."""
    severity = config.severities.get(REMOVED, _SEVERITY)
    removed = manifest.origin.removed_metadata if isinstance(manifest.origin, IngestOrigin) else {}
    if severity == "off" or not removed:
        return []
    parts = tuple(f"{kind}: {count:,} image{'' if count == 1 else 's'}" for kind, count in sorted(removed.items()))
    return [Finding(severity, REMOVED, "Ingest removed metadata that could identify a person", parts=parts)]
