"""What a finished run has to show, read from what its steps left behind."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lesiongen.endpoints import tracking_address
from lesiongen.errors import LesionGenError
from lesiongen.records.base import READING
from lesiongen.records.decision import Decision
from lesiongen.redaction import redact
from lesiongen.references import read_reference
from lesiongen.storage import open_storage
from lesiongen.storage.s3_client import endpoint_of
from pipelines.runs import RunFolder

__all__ = ["RunSummary", "artifact_of", "as_text", "copied", "published_uri", "summarise"]

CONTACT_SHEET = "pictures/samples.png"
_LABEL = 18
"""Width of the labels, in characters."""


def as_text(run: str, facts: Mapping[str, object], *, done: str = "is done.") -> str:
    """Returns the summary of a finished run for a reader.

    Args:
        run: Id of the run.
        facts: Values by their labels; the lines of a list follow one another below the one before, without a label.
        done: What follows the run's id.
    """
    lines = []
    for label, value in facts.items():
        if isinstance(value, list):
            lines += [f"{'':<{_LABEL}}{each}" for each in value]
        else:
            lines.append(f"{label:<{_LABEL}}{value}")
    return "\n".join(["", f"Run {run} {done}", "", *lines])


@dataclass(frozen=True)
class RunSummary:
    """Where the results of a run are, and what was decided."""

    run: str
    folder: str
    report: str
    """The HTML report, copied to this machine."""
    contact_sheet: str
    """The image of synthetic images, likewise."""
    report_uri: str
    dataset_uri: str
    model_uri: str
    synthetic_uri: str
    mlflow: str | None
    s3: str | None
    name: str
    version: str
    alias: str
    outcome: str
    reasons: tuple[str, ...]
    home: str

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Returns the summary for a reader."""
        facts = {
            "Report": self.report,
            "Synthetic images": self.contact_sheet,
            "Stored in": self.report_uri.rpartition("/evaluations/")[0],
            "Model": f"{self.name} version {self.version}, alias {self.alias}",
            "Decision": self.outcome,
            "Reasons": [f"- {reason}" for reason in self.reasons],
            **{label: value for label, value in (("MLflow", self.mlflow), ("S3", self.s3)) if value},
            "Look around": f"export LESIONGEN_HOME={shlex.quote(self.home)} && lesiongen up",
        }
        return as_text(self.run, facts)


def summarise(folder: RunFolder, home: str | Path) -> RunSummary:
    """Gathers the summary of a finished run, and copies its report out of the storage.

    Raises:
        LesionGenError: A step left no result.
        StorageError: The report or its contact sheet cannot be read.
    """
    registered, decided = _json(folder, "register", "registered"), _json(folder, "promote", "decision")
    decision = Decision.model_validate(decided["decision"], context=READING)
    evaluation = published_uri(folder, "evaluate", "evaluation")
    return RunSummary(
        run=folder.id,
        folder=str(folder.path),
        report=str(copied(evaluation, "report.html", folder.path)),
        contact_sheet=str(copied(evaluation, CONTACT_SHEET, folder.path)),
        report_uri=f"{evaluation}/report.html",
        dataset_uri=published_uri(folder, folder.request().publisher("caption"), "captioned"),
        model_uri=published_uri(folder, "finetune", "model"),
        synthetic_uri=published_uri(folder, folder.request().publisher("sample"), "synthetic"),
        mlflow=redact(tracking_address()),
        s3=redact(endpoint_of() or "") or None,
        name=registered["name"],
        version=str(registered["version"]),
        alias="champion" if decided["champion"] == registered["version"] else "challenger",
        outcome=decision.outcome,
        reasons=tuple(reason.line for reason in decision.reasons),
        home=str(home),
    )


def copied(uri: str, key: str, folder: Path) -> Path:
    """Copies a file out of the storage into the folder of a run, and returns where it lies.

    Raises:
        StorageError: It cannot be read.
    """
    target = folder / Path(key).name
    open_storage(uri).download_file(key, target)
    return target


def artifact_of(folder: RunFolder, stage: str, output: str) -> Path:
    """Returns the file that a step of a finished run wrote as one of its outputs.

    Raises:
        LesionGenError: It wrote none.
    """
    path = folder.artifact(stage, output)
    if path is None:
        raise LesionGenError(f"The step {stage} left no {output}.", hint=f"Log: {folder.log}")
    return path


def published_uri(folder: RunFolder, stage: str, output: str) -> str:
    """Returns where the data is that a step has published.

    Raises:
        LesionGenError: The step left no reference.
    """
    return read_reference(artifact_of(folder, stage, output)).uri


def _json(folder: RunFolder, stage: str, output: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(artifact_of(folder, stage, output).read_text(encoding="utf-8"))
    return content
