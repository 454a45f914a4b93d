"""The folder of the embedded servers: who may read it, which ports it remembers, what damage does."""

import errno
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lesiongen.errors import ServiceError
from lesiongen.stack import Stack, private_folder
from pipelines.release import ReleaseRequest
from pipelines.runs import RunFolder


def test_a_home_that_was_open_to_others_is_closed(tmp_path):
    folder = tmp_path / "home"
    (folder / "s3").mkdir(parents=True, mode=0o755)
    Stack(folder).home.create()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "s3", folder / "logs")} == {0o700}
    (folder / "notes.txt").touch()
    Stack(folder).home.choose_ports()
    folder.chmod(0o755)
    private_folder(folder)  # known by its memory, whatever else lies there
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(("mode", "content"), [(0o1777, ["someone-else"]), (0o755, ["thesis.tex"]), (0o1777, [])])
def test_a_folder_that_others_use_keeps_its_mode_and_is_refused_as_a_home(tmp_path, mode, content):
    folder = tmp_path / "shared"
    folder.mkdir()
    for name in content:
        (folder / name).touch()
    folder.chmod(mode)
    for act in (Stack(folder).up, lambda: RunFolder.create(folder, ReleaseRequest(source="a", format="image_folder"))):
        with pytest.raises(ServiceError, match=f"open to other users(.|\n)*{folder}/lesiongen"):
            act()
    assert stat.S_IMODE(folder.stat().st_mode) == mode
    assert [path.name for path in folder.iterdir()] == content


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_home_that_cannot_be_written_is_named_with_the_reason(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    folder = tmp_path / "home"
    said = f"{folder} cannot be used: {os.strerror(number)}(.|\n)*--home"
    acts = (Stack(folder).up, lambda: RunFolder.create(folder, ReleaseRequest(source="a", format="image_folder")))
    with monkeypatch.context() as full:
        full.setattr(os, "mkdir", refuse)
        for act in acts:
            with pytest.raises(ServiceError, match=said):
                act()
    folder.mkdir(mode=0o700)
    (folder / "logs").mkdir()
    (folder / "s3").mkdir()
    with monkeypatch.context() as full:
        full.setattr(os, "open", refuse)
        full.setattr(os, "mkdir", refuse)
        for act in acts:
            with pytest.raises(ServiceError, match=said):
                act()
    with pytest.raises(ServiceError, match="Not a directory|File exists"):
        (tmp_path / "file").touch()
        Stack(tmp_path / "file").up()


def test_ports_are_remembered_and_replaced_only_when_taken(tmp_path):
    home = Stack(tmp_path / "home").home
    home.create()
    first = home.choose_ports()
    assert home.choose_ports() == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first["mlflow"]))
        taken.listen()
        second = home.choose_ports()
    assert set(second.values()).isdisjoint({first["mlflow"]})
    assert home.ports() == second
    foreign = Path(f"/tmp/seaweedfs-filer-grpc-{second['filer_grpc']}.sock")
    foreign.touch()  # another user's: it cannot be removed
    try:
        assert home.choose_ports()["filer_grpc"] != second["filer_grpc"]
    finally:
        foreign.unlink()


def test_damaged_memory_is_replaced_and_a_stack_never_started_says_so(tmp_path):
    stack = Stack(tmp_path / "home")
    with pytest.raises(ServiceError, match="contains no stack"):
        stack.environment()
    stack.down()
    stack.home.create()
    (stack.home.path / "state.json").write_text("{")
    (stack.home.path / "credentials.json").write_text("[]")
    stack.home.choose_ports()
    stack.home.ensure_credentials()
    assert stack.environment()["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    json.dumps(stack.status().as_dict())


def test_the_status_names_no_log_of_a_server_that_was_never_started(tmp_path):
    asked = [str(Path(sys.executable).with_name("lesiongen")), "status", "--home", str(tmp_path / "home")]
    told = subprocess.run(asked, capture_output=True, text=True)
    assert (told.returncode, told.stdout.count("stopped"), "log:" in told.stdout) == (1, 2, False)
    logs = tmp_path / "home" / "logs"
    logs.mkdir(parents=True)
    (logs / "s3.log").touch()
    told = subprocess.run(asked, capture_output=True, text=True).stdout
    assert told.count("log:") == 1
    assert str(logs / "s3.log") in told
