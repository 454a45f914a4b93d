"""A user's own `random.py` or `datasets/` in the working folder replaces no library's module, in no process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lesiongen import safe_path
from lesiongen.launch import Job, LocalLauncher
from lesiongen.parallel import in_processes
from lesiongen.safe_path import SAFE_PATH
from lesiongen.stack import servers
from pipelines import local

JOB = """
import json, random, sys
from pathlib import Path
import datasets
from lesiongen.launch import worker
with worker() as rank:
    Path(json.loads(sys.argv[1]), f"ran-{rank}").touch()
"""

SCRIPT = """
import lesiongen
import pipelines
from lesiongen.parallel import in_processes


def twice(number):
    assert pipelines.OWNER == "the user"
    return 2 * number


if __name__ == "__main__":
    assert lesiongen.IngestConfig(format="image_folder")
    print(pipelines.OWNER, ", ".join(map(str, in_processes(twice, [1, 2, 3], processes=2))))
"""


@pytest.fixture(autouse=True)
def plain_path(monkeypatch):
    for name in ("PYTHONSAFEPATH", "PYTHONPATH"):  # a command that ran in this process has set them
        monkeypatch.delenv(name, raising=False)


def imports(_):
    import copy
    import random

    return [copy.__file__, random.__file__]


@pytest.mark.parametrize("start", [["-m", "lesiongen"], [str(Path(sys.executable).parent / "lesiongen")]])
def test_a_command(foreign_modules, start):
    program = [sys.executable, *start, "phantoms", "--output", "phantoms", "--n", "1"]
    ended = subprocess.run(program, cwd=foreign_modules, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (foreign_modules / "phantoms" / "metadata.csv").is_file()


def test_the_modules_of_the_folder_would_be_taken(foreign_modules):
    ended = subprocess.run([sys.executable, "-c", "import copy"], cwd=foreign_modules, capture_output=True, check=False)
    assert b"the module of the working folder: copy.py" in ended.stderr


def test_a_checkout_that_is_not_installed_finds_itself():
    root = Path(__file__).parent.parent
    program = "import sys; sys.path[0] = sys.argv[1]; from lesiongen.safe_path import *; leave_out_working_folder()"
    shown = [sys.executable, "-c", f"{program}; print(sys.argv[1] in sys.path[:1])", str(root)]
    assert subprocess.run(shown, cwd=root, capture_output=True, text=True, check=True).stdout == "True\n"


def test_the_processes_of_a_checkout_that_is_not_installed_find_it(tmp_path):
    package = tmp_path / "clone" / "lesiongen"
    package.mkdir(parents=True)
    for name in ("__init__.py", "environment.py", "safe_path.py"):
        shutil.copy(Path(safe_path.__file__).parent / name, package)
    child = [sys.executable, "-c", "import lesiongen, os; print(lesiongen.__file__, os.environ['PYTHONPATH'])"]
    (package / "__main__.py").write_text(
        "import subprocess\nfrom lesiongen.safe_path import *\n"
        f"leave_out_working_folder()\nleave_out_working_folder()\nsubprocess.run({child}, cwd='/', check=True)\n"
    )
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "lesiongen"]
    ended = subprocess.run(command, cwd=package.parent, env=variables, capture_output=True, text=True, check=True)
    assert ended.stdout == f"{package / '__init__.py'} {package.parent}:{tmp_path}\n"


def test_an_installed_package_adds_nothing_to_the_path(monkeypatch, tmp_path):
    monkeypatch.setattr(safe_path, "_PACKAGES", tmp_path / "site-packages")
    assert safe_path.safe_variables() == SAFE_PATH


def test_an_installed_package_comes_before_the_paths_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setattr(safe_path, "_PACKAGES", tmp_path / "site-packages")
    monkeypatch.setenv("PYTHONPATH", f"/project::{tmp_path / 'site-packages'}")
    assert safe_path.safe_variables()["PYTHONPATH"] == f"{tmp_path / 'site-packages'}:/project"


@pytest.fixture
def project(tmp_path):
    """A user's project for Kubeflow, with packages that have the names of ours and break whoever imports them."""
    for name in ("components", "pipelines"):
        package = tmp_path / "project" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise ImportError('of the user')\n")
    return tmp_path / "project"


def run(program, project, **variables):
    environment = {**os.environ, **variables}
    ended = subprocess.run(program, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("start", [["-m", "lesiongen"], [str(Path(sys.executable).parent / "lesiongen")]])
@pytest.mark.parametrize("path", [{}, {"PYTHONPATH": "."}], ids=["in the folder", "on PYTHONPATH"])
def test_pipelines_compile_beside_the_packages_of_a_user(project, start, path):
    program = [sys.executable, *start, "pipeline", "compile", "merge", "--output", "merge.yaml"]
    run(program, project, **path)
    assert (project / "merge.yaml").is_file()


def test_the_steps_of_a_pipeline_find_ours_where_the_user_has_his_on_the_path(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(project))
    program = [sys.executable, "-c", "from components import step; print(step.__file__)"]
    found = run(program, project, **local._run_variables("a-run"))
    assert found.strip() == str(Path(safe_path.__file__).parent.parent / "components" / "step.py")


def test_all_that_the_package_offers_is_imported_beside_them(project):
    program = (
        "import sys, lesiongen; [getattr(lesiongen, name) for name in lesiongen.__all__]; print('kfp' in sys.modules)"
    )
    assert run([sys.executable, "-c", program], project) == "False\n"


def test_a_script_of_the_user_has_his_own_packages_and_so_have_its_processes(project):
    (project / "pipelines" / "__init__.py").write_text("OWNER = 'the user'\n")
    (project / "script.py").write_text(SCRIPT)
    assert run([sys.executable, "script.py"], project, PYTHONPATH=str(project)) == "the user 2, 4, 6\n"


def test_the_processes_of_a_pool(foreign_modules, monkeypatch):
    monkeypatch.chdir(foreign_modules)
    found = {path for paths in in_processes(imports, range(8), processes=2) for path in paths}
    assert not [path for path in found if path.startswith(str(foreign_modules))]
    assert "PYTHONSAFEPATH" not in os.environ, "a library leaves the environment as it was"


def test_the_processes_of_a_training(foreign_modules, monkeypatch, tmp_path):
    (tmp_path / "a_job.py").write_text(JOB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(foreign_modules)
    LocalLauncher().run(Job("a_job", json.dumps(str(tmp_path)), 2), lambda: False)
    assert sorted(path.name for path in tmp_path.glob("ran-*")) == ["ran-0", "ran-1"]


def test_the_servers_and_the_steps_of_a_pipeline():
    assert servers.server_variables().items() >= SAFE_PATH.items()
    assert local._run_variables("a-run").items() >= SAFE_PATH.items()
