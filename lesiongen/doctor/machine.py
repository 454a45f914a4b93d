"""Checks of this machine: versions, cores, memory, disk, GPU."""

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from lesiongen import __version__
from lesiongen.doctor.outcome import Checks, Outcome, failed, ok, skipped, warning

__all__ = ["machine_checks"]

_LEAST_PYTHON = (3, 11)
_LIBRARIES = ("torch", "diffusers", "transformers", "mlflow", "kfp", "kubeflow")
_LEAST_CORES, _LEAST_MEMORY_GB, _LEAST_DISK_GB = 2, 8, 10
"""The machine of the tutorial has two cores; a `finetune` or `evaluate` step asks a cluster for 6 GB."""
_GPU_DEVICES = "/dev/nvidia[0-9]*"


def machine_checks() -> Checks:
    """Returns the checks of this machine."""
    return {
        "python": _python,
        "libraries": _libraries,
        "cores": _cores,
        "memory": _memory,
        "disk": _disk,
        "gpu": _gpu,
    }


def _python() -> Outcome:
    message = f"LesionGen {__version__}, Python {platform.python_version()}"
    if sys.version_info < _LEAST_PYTHON:
        return failed(message, f"Install Python {'.'.join(map(str, _LEAST_PYTHON))} or newer.")
    return ok(message)


def _libraries() -> Outcome:
    found = {name: _version(name) for name in _LIBRARIES}
    message = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    missing = [name for name, number in found.items() if number is None and name != "kubeflow"]
    if missing:
        return failed(f"not installed: {', '.join(missing)}", "Install LesionGen again: pip install lesiongen")
    return ok(message)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cores() -> Outcome:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < _LEAST_CORES:
        return warning(f"{count} core", "Give the machine or the container two cores or more: a run takes long.")
    return ok(f"{count} cores")


def _memory() -> Outcome:
    memory = psutil.virtual_memory()
    message = f"{memory.available / 1e9:.1f} GB of {memory.total / 1e9:.1f} GB are free"
    if memory.available < _LEAST_MEMORY_GB * 1e9:
        return warning(message, "Close other programs, or use a larger machine: training may run out of memory.")
    return ok(message)


def _disk() -> Outcome:
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        return failed("No folder for temporary files can be written", "Set TMPDIR to a folder that you can write.")
    free = shutil.disk_usage(folder).free
    message = f"{free / 1e9:.1f} GB are free in {folder}"
    if free < _LEAST_DISK_GB * 1e9:
        return warning(message, "Set TMPDIR to a larger disk: models and encoded images pass through it.")
    return ok(message)


def _gpu() -> Outcome:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        return ok(", ".join(f"{one.name}, {one.total_memory / 1e9:.0f} GB" for one in names))
    devices = [path.name for path in Path(_GPU_DEVICES).parent.glob(Path(_GPU_DEVICES).name)]
    if devices:
        return warning(
            f"torch {torch.__version__} does not see the GPU of this machine ({', '.join(sorted(devices))})",
            "Install a build of torch for CUDA, and a driver that is new enough for it.",
        )
    return skipped("no GPU: the presets tiny, demo and miniature run on a CPU")
