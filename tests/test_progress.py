"""Progress in a log, which is what a pipeline's step and a file show."""

import logging
import sys

from lesiongen.progress import progress


def test_what_an_earlier_attempt_has_done_counts_but_not_for_the_pace(monkeypatch, caplog):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    clock = iter([100.0, 102.0, 120.0])
    monkeypatch.setattr("lesiongen.progress.time.monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), progress("Fine-tuning", total=400, unit="steps", done=300) as bar:
        bar.advance(4)
        bar.advance(16, note="loss 0.5")
    assert caplog.messages == ["Fine-tuning: 320/400 steps (1.0/s, 80 s left) · loss 0.5"]


def test_what_takes_longer_than_a_second_is_shown_with_the_time_of_each(monkeypatch, caplog):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    clock = iter([100.0, 250.0])
    monkeypatch.setattr("lesiongen.progress.time.monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), progress("Fine-tuning", total=10, unit="steps") as bar:
        bar.advance(4)
    assert caplog.messages == ["Fine-tuning: 4/10 steps (37.5 s each, 225 s left)"]
