"""Work that is interrupted says what is kept."""

import os
import signal
import threading

import pytest

from lesiongen.errors import Interrupted
from lesiongen.interruption import kept_when_interrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work_with_what_is_kept_and_asks_to_be_started_again(number):
    before = signal.getsignal(signal.SIGTERM)
    done = 0
    told = pytest.raises(Interrupted, match=f"Stopped by {number.name}: 3 images are kept")
    with told as raised, kept_when_interrupted(lambda: f"{done} images are kept"):
        done = 3
        try:
            os.kill(os.getpid(), number)
        except Exception:  # as a library does that tries again whatever happens
            done = 0
    assert raised.value.exit_code == 75
    assert "Start the same command again" in raised.value.hint
    assert signal.getsignal(signal.SIGTERM) == before


def test_it_works_outside_the_main_thread():
    seen = []

    def work():
        with kept_when_interrupted(lambda: ""):
            seen.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == ["done"]
