import os
import signal
import threading

import pytest

from lesiongen.diffusion.stopping import stop_request
from lesiongen.errors import Interrupted


def test_within_a_deferred_block_a_signal_is_only_noted():
    with stop_request() as stop, stop.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGTERM"


def test_outside_it_acts_at_once_and_asks_to_be_started_again():
    with pytest.raises(Interrupted, match="Stopped by SIGTERM") as raised, stop_request():
        os.kill(os.getpid(), signal.SIGTERM)
    assert raised.value.exit_code == 75


def test_the_second_ctrl_c_does_not_wait(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lesiongen.interruption.time.monotonic", lambda: now[0])
    with stop_request() as stop, stop.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested == "SIGINT"
        os.kill(os.getpid(), signal.SIGTERM)  # of the same request: `timeout` and a terminal send several
        now[0] = 5.0
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with stop_request():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_it_works_outside_the_main_thread():
    seen = []

    def work():
        with stop_request() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]
