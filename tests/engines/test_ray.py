"""The Ray engine on a local cluster of two workers."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from seg2knet.engines import engine
from seg2knet.errors import DataError, EnvironmentProblem

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # This module is on no worker's path, as a user's package would be: its functions travel whole.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def squares() -> Callable[[int], int]:
    return lambda number: number * number


def test_results_come_in_order(cluster: None) -> None:
    with engine("ray") as two:
        assert two.jobs == 2
        assert list(two.map(squares, range(50))) == [number * number for number in range(50)]
        assert list(two.map(squares, [])) == []
    assert ray.is_initialized(), "a cluster that was there before is left alone"


def test_no_more_tasks_are_taken_than_keep_the_workers_busy(cluster: None) -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with engine("ray", jobs=2) as two:
        results = two.map(squares, tasks())
        assert next(results) == 0
        assert len(taken) <= 8
        results.close()


def failing() -> Callable[[int], int]:
    def fail(number: int) -> int:
        if number == 3:
            raise DataError("broken", file="a.json", hint="mend it")
        return number

    return fail


def test_errors_arrive_as_they_were_raised(cluster: None) -> None:
    with engine("ray") as two, pytest.raises(DataError, match=r"a\.json: broken") as caught:
        list(two.map(failing, range(10)))
    assert caught.value.hint == "mend it"


def dying(marker: Path, always: bool) -> Callable[[int], int]:
    def die(number: int) -> int:
        if number == 5 and (always or not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return die


def test_the_part_of_a_killed_worker_is_done_again(cluster: None, tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    with engine("ray") as two:
        assert list(two.map(functools.partial(dying, marker, False), range(20))) == list(range(20))
    assert marker.exists()


def test_a_part_that_kills_every_worker_is_an_error(cluster: None, tmp_path: Path) -> None:
    with engine("ray") as two, pytest.raises(EnvironmentProblem, match="died"):
        list(two.map(functools.partial(dying, tmp_path / "killed", True), range(20)))
