"""Whether a process still lives is said only where it is certain."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lesiongen.owner import this_process


def test_a_living_process_an_ended_one_and_another_of_the_same_number_are_told_apart():
    me = this_process()
    assert me.lives() is True
    assert replace(me, ticks=me.ticks + 1).lives() is False  # the number was given to another process
    assert replace(me, system="another container").lives() is None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert replace(me, pid=ended.pid).lives() is False  # a zombie
    ended.wait()
    assert replace(me, pid=ended.pid).lives() is False
    assert [replace(me, pid=pid).lives() for pid in (0, -1, 10**30)] == [None] * 3


@pytest.mark.parametrize("hidden", [PermissionError, FileNotFoundError])
def test_a_process_of_another_user_that_the_system_hides_is_not_taken_for_dead(monkeypatch, hidden):
    """As /proc does where it is mounted with hidepid: on clusters, runs and claims of others would be taken over."""
    me, read_text = this_process(), Path.read_text

    def refuse(path, *arguments, **options):
        if path.name == "stat":
            raise hidden(path)
        return read_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert me.lives() is None
