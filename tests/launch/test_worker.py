"""The end of a launched process: its exit code, what it waits for, and what it leaves out."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys, threading, time
from lesiongen.launch.worker import run_as_process

def work(text):
    threading.Thread(target=lambda: (time.sleep(0.3), print("written"))).start()
    threading.Thread(target=time.sleep, args=(300,), daemon=True).start()
    {end}

atexit.register(lambda: print("taken down"))
run_as_process(work)
"""


@pytest.mark.parametrize(
    ("end", "code"), [("pass", 0), ("sys.exit(75)", 75), ("raise KeyError(text)", 1), ("raise KeyboardInterrupt", 1)]
)
def test_a_process_ends_with_its_code_once_its_threads_are_done_and_is_not_taken_down(end, code):
    """An interpreter that is taken down under threads that live on can abort, though the work is done and saved."""
    command = [sys.executable, "-c", PROGRAM.format(end=end), "a specification"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert done.stdout == "written\n"
    assert ("a specification" in done.stderr) == ("KeyError" in end)
