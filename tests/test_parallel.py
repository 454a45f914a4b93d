"""Work on several cores: in order, item by item, errors as they are."""

import os

import pytest

from lesiongen.errors import DataError
from lesiongen.parallel import in_processes


def _square(number):
    return number * number, os.getpid()


def _refuse_three(number):
    if number == 3:
        raise DataError("three is refused")
    return number


def test_results_come_in_order_from_other_processes():
    results = list(in_processes(_square, range(20), processes=2))
    assert [square for square, _ in results] == [number * number for number in range(20)]
    assert os.getpid() not in {process for _, process in results}


def test_one_process_starts_nothing():
    assert {process for _, process in in_processes(_square, range(3), processes=1)} == {os.getpid()}


def test_few_items_are_drawn_ahead():
    drawn = []
    results = in_processes(_square, (drawn.append(number) or number for number in range(50)), processes=2)
    next(results)
    assert len(drawn) < 20
    results.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_arrives_as_it_was_raised(processes):
    with pytest.raises(DataError, match="three is refused"):
        list(in_processes(_refuse_three, range(6), processes=processes))
