"""Work that is interrupted says what is kept."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from lesiongen.errors import Interrupted
from lesiongen.interruption import interruptible, kept_when_interrupted, stop_signals


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
    assert "Run the same command again" in raised.value.hint
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


def test_a_storm_of_signals_is_one_request():
    """`timeout` sends two; the cleaning up that the first one began must not be disturbed by the second."""
    cleaned = []
    with pytest.raises(Interrupted, match="Stopped by SIGTERM"), kept_when_interrupted(lambda: "all is kept"):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            for number in [signal.SIGINT, signal.SIGTERM] * 20:
                os.kill(os.getpid(), number)
            cleaned.append(True)
    assert cleaned


def test_a_second_request_interrupts_the_cleaning_up_and_a_third_ends_the_process(monkeypatch):
    now, codes = [0.0], []
    monkeypatch.setattr("lesiongen.interruption.time.monotonic", lambda: now[0])
    monkeypatch.setattr("lesiongen.interruption.os._exit", codes.append)

    def again():
        now[0] += 2.0
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), interruptible() as requests:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                again()
        assert not codes
        again()
    assert codes == [130]
    assert requests.count == 3


def test_a_closed_terminal_asks_to_stop_unless_the_process_was_told_to_outlive_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert signal.SIGHUP in stop_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert signal.SIGHUP not in stop_signals()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_comes_late_does_not_change_the_exit_code():
    program = (
        "import atexit, os, signal, time\nfrom lesiongen.interruption import decide_exit_code\n"
        "atexit.register(lambda: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(60)))\ndecide_exit_code(75)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 75
