"""The Dockerfile: what can be said of it without building it."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "infra/images/Dockerfile").read_text()


def test_every_requirement_of_the_project_is_installed_before_the_code() -> None:
    requirements = runpy.run_path(str(ROOT / "infra/images/requirements.py"))["requirements"]
    listed = requirements(ROOT / "pyproject.toml")
    names = {re.split(r"[\[;<>=]", requirement)[0].strip() for requirement in listed}
    assert {"torch", "kfp", "mlflow", "diffusers", "hatchling"} <= names
    assert "pytest" not in names


def test_the_image_runs_as_a_user_without_rights() -> None:
    users = [line for line in DOCKERFILE.splitlines() if line.startswith("USER ")]
    assert users == ["USER 1000:1000"]


def test_the_command_of_kubeflow_pipelines_is_not_prefixed() -> None:
    assert "ENTRYPOINT" not in DOCKERFILE


def test_the_build_needs_no_frontend_from_a_registry() -> None:
    assert "# syntax=" not in DOCKERFILE
    assert "<<" not in DOCKERFILE


def test_the_context_holds_what_the_build_copies_and_nothing_else() -> None:
    allowed = (ROOT / "infra/images/Dockerfile.dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    for name in ("lesiongen", "components", "pipelines", "pyproject.toml", "constraints.txt", "LICENSE", "README.md"):
        assert f"!{name}" in allowed
        assert (ROOT / name).exists()
