"""The pool of processes: order, memory, errors, workers that die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seg2knet.engines import engine
from seg2knet.engines.local import LocalEngine, apart
from seg2knet.errors import DataError, EnvironmentProblem, UsageError


class Setup:
    """Makes the function ``work``; picklable."""

    def __init__(self, work: Any) -> None:
        self.work = work

    def __call__(self) -> Any:
        return self.work


def square(number: int) -> int:
    time.sleep(0.001 * (number % 3))
    return number * number


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_come_in_order(jobs: int) -> None:
    with engine("local", jobs) as workers:
        assert list(workers.map(Setup(square), range(50))) == [number**2 for number in range(50)]
        assert list(workers.map(Setup(square), [7])) == [49]
        assert list(workers.map(Setup(square), [])) == []


def test_one_task_in_a_process_of_its_own() -> None:
    assert apart(Setup(getpid), None) != os.getpid()
    with pytest.raises(DataError, match="no good"):
        apart(Setup(refuses), None)
    with pytest.raises(EnvironmentProblem, match="SIGKILL"):
        apart(Setup(kills), Task(5))


def getpid(_: None) -> int:
    return os.getpid()


def refuses(_: None) -> None:
    raise DataError("no good")


def test_tasks_larger_than_a_pipe() -> None:
    tasks = [bytes([index]) * 300_000 for index in range(12)]
    with LocalEngine(2) as workers:
        assert list(workers.map(Setup(bytes.upper), tasks)) == [task.upper() for task in tasks]


def test_no_more_is_taken_than_is_needed() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for index in range(1000):
            taken.append(index)
            yield index

    with LocalEngine(2) as workers:
        results = workers.map(Setup(square), tasks())
        for _ in range(3):
            next(results)
        assert len(taken) < 30


def fails(number: int) -> int:
    if number == 7:
        raise DataError("broken", file="x.json", hint="mend it")
    return number


@pytest.mark.parametrize("jobs", [1, 3])
def test_errors_come_whole(jobs: int) -> None:
    with LocalEngine(jobs) as workers, pytest.raises(DataError, match="broken") as caught:
        list(workers.map(Setup(fails), range(20)))
    assert (caught.value.file, caught.value.hint) == ("x.json", "mend it")


class Foreign(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def fails_strangely(number: int) -> int:
    raise Foreign(number, 2)


def test_error_says_where_it_arose() -> None:
    with LocalEngine(2) as workers, pytest.raises(RuntimeError) as caught:
        list(workers.map(Setup(fails_strangely), range(5)))
    assert "in fails_strangely" in str(caught.value.__cause__)


def test_error_that_cannot_travel_says_the_same() -> None:
    with LocalEngine(2) as workers, pytest.raises(RuntimeError, match="Foreign: 0 2"):
        list(workers.map(Setup(fails_strangely), range(5)))


class DiesOnce:
    """Kills its process at one task, the first time that any worker is there."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self, number: int) -> int:
        if number == 11:
            try:
                os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return number


def test_part_of_a_worker_that_died_is_done_again(tmp_path: Path) -> None:
    with LocalEngine(2) as workers:
        assert list(workers.map(Setup(DiesOnce(tmp_path / "died")), range(30))) == list(range(30))
    assert (tmp_path / "died").exists()


class Task:
    def __init__(self, number: int) -> None:
        self.number = number

    def describe(self) -> str:
        return f"image {self.number}.jpg"


def kills(task: Task) -> int:
    if task.number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return task.number


def test_task_that_kills_every_worker_is_named() -> None:
    with LocalEngine(2) as workers, pytest.raises(EnvironmentProblem, match=r"SIGKILL, at image 5\.jpg"):
        list(workers.map(Setup(kills), [Task(number) for number in range(20)]))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def who(_: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def test_workers_end_with_the_parent(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    pid = os.fork()
    if pid == 0:
        results = LocalEngine(3).map(Setup(who), range(100))
        pids = {next(results) for _ in range(30)}
        (tmp_path / "scratch").write_text(" ".join(map(str, pids)))
        os.rename(tmp_path / "scratch", note)
        time.sleep(60)
        os._exit(0)
    deadline = time.monotonic() + 30
    while not note.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    left = [int(each) for each in note.read_text().split()]
    assert left
    while any(map(alive, left)):
        assert time.monotonic() < deadline, "orphans"
        time.sleep(0.01)


def test_what_is_no_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="no engine"):
        engine("abacus")
    with pytest.raises(UsageError, match="there must be a worker"):
        engine("local", 0)
