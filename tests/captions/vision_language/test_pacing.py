"""When a request may be sent, and how long to wait after a failure."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from lesiongen.captions.vision_language.pacing import Clock, Pace, backoff, retry_after


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), (None, None), ("", None), ("soon", None)]
)
def test_retry_after_in_seconds(header, seconds):
    assert retry_after(header) == seconds


def test_retry_after_as_a_date():
    assert retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)) == pytest.approx(
        90, abs=3
    )
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_the_wait_is_drawn_from_a_growing_range_that_ends_at_a_minute():
    drawn = []
    clock = Clock(jitter=lambda low, high: drawn.append((low, high)) or high / 2)
    assert backoff(3, None, clock) == 2.0
    assert backoff(3, 10.0, clock) == 12.0, "never less than the server asks"
    assert backoff(30, None, clock) == 30.0
    assert backoff(1, 3600.0, clock) == 300.5, "an hour is too long to wait"
    assert drawn == [(0.0, 4.0), (0.0, 4.0), (0.0, 60.0), (0.0, 1.0)]


def test_threads_share_one_pace():
    slept = []
    pace = Pace(60, Clock(now=lambda: 0.0, sleep=slept.append))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: pace.wait(), range(5)))
    assert sorted(slept) == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("header", ["nan", "inf", "-inf"])
def test_a_retry_after_that_is_no_time_is_ignored(header):
    from lesiongen.captions.vision_language.pacing import retry_after

    assert retry_after(header) is None
