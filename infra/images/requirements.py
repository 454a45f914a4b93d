"""Prints the requirements that a pyproject.toml declares, one a line: they are installed before the code is copied."""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path) -> list[str]:
    """Returns what the project needs to run, for every collection and for TrainJobs, and what builds it."""
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = content["project"]
    extras = [needed for extra in ("hdf5", "cluster") for needed in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *extras, *content["build-system"]["requires"]]


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path(sys.argv[1]))) + "\n")
