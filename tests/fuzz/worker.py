"""The process in which cases are tried: its memory is bounded, and what it does to the disk is compared."""

import gc
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from lesiongen.errors import LesionGenError

KINDS = {
    "images": "images:build", "tables": "tables:build", "archives": "archives:build", "ingests": "ingests:build",
    "concepts": "documents:concepts", "manifests": "documents:manifests", "models": "documents:models",
    "configurations": "documents:configurations", "plans": "documents:plans",
}  # fmt: skip
CPU_SECONDS = 30.0
MEMORY_BYTES = 3 << 30
"""What a case may take beyond what the process has taken as it starts."""
_CANARY = b"nobody touches this"


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        case: Kind and number.
        fault: What is wrong, with the traceback where there is one; None for a case that was survived.
        refused: Whether the project refused the files.
        seconds: Processor time.
    """

    case: str
    fault: str | None
    refused: bool = False
    seconds: float = 0.0


def serve(pipe: Connection, root: str) -> None:
    """Tries the cases that arrive until there are none."""
    place = Path(root)
    tempfile.tempdir = str(place / "tmp")
    os.environ["MLFLOW_TRACKING_URI"] = ""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - progress of ingests, for the life of the process
    for module in dict.fromkeys(name.partition(":")[0] for name in KINDS.values()):
        import_module(f"tests.fuzz.{module}")
    gc.freeze()  # what is imported is not looked through after each case
    used = psutil.Process().memory_info().vms
    limit = used + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while case := pipe.recv():
        try:
            outcome = try_case(case, place)
        except Exception:
            outcome = Outcome(case, f"the case could not be made:\n{traceback.format_exc()}")
        pipe.send(outcome)


def try_case(case: str, root: Path) -> Outcome:
    """Makes the files of a case and has them read."""
    kind, _, number = case.partition(":")
    module, _, function = KINDS[kind].partition(":")
    build: Callable[[random.Random, Path], Callable[[], object]] = getattr(
        import_module(f"tests.fuzz.{module}"), function
    )
    for name in ("tmp", "work/case"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "work" / "canary").write_bytes(_CANARY)
    (root / "canary").write_bytes(_CANARY)
    try:
        act = build(random.Random(f"{kind}:{number}"), root / "work" / "case")
        before = _listed(root)
        started = time.process_time()
        refused, fault = _result(act)
        seconds = time.process_time() - started
        del act
        gc.collect()
        fault = fault or _traces(root, before)
        if fault is None and seconds > CPU_SECONDS:
            fault = f"took {seconds:.0f} s of processor time"
        return Outcome(case, fault, refused, seconds)
    finally:
        for name in ("tmp", "work"):
            shutil.rmtree(root / name, ignore_errors=True)


def _result(act: Callable[[], object]) -> tuple[bool, str | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            act()
        except LesionGenError as error:
            try:
                str(error).encode()
            except UnicodeEncodeError:
                return True, f"the message cannot be shown: {str(error)!r}"
            return True, f"the message has {len(str(error)):,} characters" if len(str(error)) > 50_000 else None
        except BaseException:
            return False, traceback.format_exc(limit=-12)
    return False, None


def _listed(root: Path) -> set[str]:
    return {str(path) for path in root.rglob("*")}


def _traces(root: Path, before: set[str]) -> str | None:
    output = str(root / "work" / "case" / "output")
    made = {path for path in _listed(root) - before if not path.startswith(output)}
    # A table of rejected rows is kept for the user, who is told where; torch makes a folder of its own.
    made = {path for path in made if not Path(path).name.startswith(("lesiongen-rows-", "torchinductor_"))}
    if made:
        return f"left behind: {sorted(made)[:5]}"
    if gone := before - _listed(root):
        return f"removed: {sorted(gone)[:5]}"
    if (root / "canary").read_bytes() != _CANARY or (root / "work" / "canary").read_bytes() != _CANARY:
        return "a file outside was changed"
    children = Path("/proc/thread-self/children").read_text()
    if children.strip():
        return f"processes are left: {children}"
    return None
