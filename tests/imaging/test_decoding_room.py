"""Pixels that processes hold decoded at a time: large pictures wait for one another, small ones do not."""

import subprocess
import sys
import threading

import pytest

from lesiongen.imaging.decoding_room import DecodingRoom

HOLD = """
import sys
from pathlib import Path
from lesiongen.imaging.decoding_room import DecodingRoom
with DecodingRoom(Path(sys.argv[1]), 100).taken(int(sys.argv[2])):
    print("taken", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def room(tmp_path):
    (tmp_path / "room").touch()
    return DecodingRoom(tmp_path / "room", 100)


@pytest.fixture
def another(room):
    """Starts a process that holds room for some pixels until its input is closed."""
    started = []

    def hold(pixels):
        command = [sys.executable, "-c", HOLD, str(room.file), str(pixels)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "taken\n"
        return started[-1]

    yield hold
    for process in started:
        process.communicate()


def taken(room, pixels):
    """Takes room in another thread, and returns what tells whether it has been given."""
    given = threading.Event()

    def take():
        with room.taken(pixels):
            given.set()

    threading.Thread(target=take, daemon=True).start()
    return given


@pytest.mark.parametrize(("held", "wanted"), [(100, 1), (60, 50), (1, 100), (20, 1_000_000)])
def test_what_has_no_room_waits_until_there_is_some(room, another, held, wanted):
    other = another(held)
    given = taken(room, wanted)
    assert not given.wait(0.3)
    other.communicate()
    assert given.wait(20)


@pytest.mark.parametrize(("held", "wanted"), [(50, 50), (1, 90), (100, 0)])
def test_what_has_room_does_not_wait(room, another, held, wanted):
    another(held)
    assert taken(room, wanted).wait(20)


def test_a_process_that_is_killed_leaves_its_room(room, another):
    other = another(100)
    given = taken(room, 100)
    assert not given.wait(0.2)
    other.kill()
    assert given.wait(20)
