"""What a command leaves behind is its owner's alone, unless the user says otherwise."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from components.step import step
from lesiongen.errors import UsageError, disk_error
from lesiongen.permissions import new_files_for_owner

COMMANDS = [
    "phantoms --output phantoms --n 12 --size 64",
    "ingest --format image_folder --source phantoms --output data",
    "validate data --report page/report.html",
    "caption data --output captioned --tokenizer tiny --writer metadata --preview 2",
    "inspect captioned --report page/sheet.html",
    "copy captioned --output copies",
]
SCRIPT = """
import os, sys
from lesiongen.cli.app import app
os.umask(0o022)
for command in sys.stdin.read().splitlines():
    app(command.split(), standalone_mode=False)
"""


def _left(folder: Path, commands: Sequence[str], **variables: str) -> dict[str, int]:
    """Runs the commands in one process and returns the modes of all files and folders that they leave."""
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join(commands), capture_output=True, text=True, cwd=folder, env=environment, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_every_stage_leaves_what_its_owner_alone_can_read(tmp_path):
    modes = _left(tmp_path / "own", COMMANDS)
    assert {"data/_dataset.json", "page/report.html", "captioned/_dataset.json", "copies/_dataset.json"} <= set(modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_the_user_can_open_it_to_others(tmp_path):
    modes = _left(tmp_path / "open", COMMANDS[:3], LESIONGEN_UMASK="027")
    assert {oct(mode) for mode in modes.values()} == {"0o750", "0o640"}


def test_a_flag_and_a_variable_hold_for_the_block_and_what_it_starts(tmp_path, monkeypatch):
    before = os.umask(0o002)
    try:
        monkeypatch.setenv("LESIONGEN_UMASK", "027")
        with new_files_for_owner("022"):
            child = [sys.executable, "-c", "import os; print(oct(os.umask(0)), os.environ['LESIONGEN_UMASK'])"]
            assert subprocess.run(child, capture_output=True, text=True).stdout.split() == ["0o22", "022"]
        with step("ingest"):
            (tmp_path / "group").touch()
        monkeypatch.delenv("LESIONGEN_UMASK")
        with step("ingest"):
            (tmp_path / "own").touch()
        assert "LESIONGEN_UMASK" not in os.environ
        assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("group", "own")] == [0o640, 0o600]
        assert os.umask(0o002) == 0o002
    finally:
        os.umask(before)


@pytest.mark.parametrize("text", ["8", "rwx", "0777", "700", "-1", "0o22"])
def test_what_is_no_umask_is_refused(text):
    with pytest.raises(UsageError, match="LESIONGEN_UMASK"), new_files_for_owner(text):
        pass


CLOSED = [
    ("up", "/closed/.lesiongen cannot be used: Permission denied."),
    ("pipeline run --source {0} --format image_folder", "/closed/.lesiongen cannot be used: Permission denied."),
    ("pipeline compile --output release.yaml", "release.yaml cannot be written: Permission denied"),
    ("phantoms --output out", "/closed/out cannot be written"),
    ("validate {0}/secret", "/secret/_dataset.json may not be read or written"),
]


@pytest.mark.parametrize(("command", "said"), CLOSED)
def test_a_folder_that_is_closed_to_the_user_is_told_in_a_sentence(tmp_path, command, said):
    for name, mode in (("closed", 0o555), ("secret", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    # Root without its privileges is like any other user.
    like_a_user = ["setpriv", "--bounding-set=-all"] if os.getuid() == 0 else []
    program = [*like_a_user, sys.executable, "-m", "lesiongen", *command.format(tmp_path).split()]
    ended = subprocess.run(program, cwd=tmp_path / "closed", capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_file_that_is_closed_to_the_user_is_told_wherever_it_is_met():
    told = disk_error(PermissionError(errno.EACCES, "Permission denied", "/data/x.yaml"))
    assert str(told).startswith("/data/x.yaml may not be read or written: Permission denied")
    assert disk_error(PermissionError(errno.EPERM, "Operation not permitted")) is None
