"""Checks for 14-outgrowing-one-process."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from typing import Any

from notebooks import lab
from notebooks.checks import exercise, numbers_of
from taskmanager import Settings, TaskManager
from taskmanager.task import Task


@exercise(
    "A thread that computes needs the GIL of its process, and a core; one that waits "
    "needs neither."
)
def seconds(answer: Any) -> None:
    threads, processes, waiting = numbers_of(answer, 3)

    assert threads not in (1, 1.5, 2), (
        f"not {threads} s in threads: only the holder of the GIL computes, however "
        "many cores there are."
    )
    assert threads == 6, f"not {threads} s in threads: one computes after the other."

    assert processes != 1, (
        "four processes have four of the six pieces under way; two have to wait."
    )
    assert processes != 1.5, (
        "1.5 s would be all cores, busy to the end; a piece is not divided."
    )
    assert processes == 2, (
        f"not {processes} s in a pool of four: first four pieces, then two."
    )

    assert waiting not in (1.5, 2), (
        f"not {waiting} s of waiting: one that waits needs no core, so all six may."
    )
    assert waiting == 1, (
        f"not {waiting} s of waiting: a thread that waits lets go of the GIL."
    )


class _Awaited(Future[Any]):
    """One that does not wait in the event loop's own thread."""

    def result(self, timeout: float | None = None) -> Any:
        assert self.done(), (
            "result() of what is not done yet stops the whole event loop: await "
            "loop.run_in_executor(...)."
        )
        return super().result(timeout)


class _OneByOne(Executor):
    """Does each call in the next turn of the loop.

    It counts those that are under way, and those that were handed in.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.computing = False
        self.under_way = 0
        self.most = 0
        self.begun = 0

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        future = _Awaited()
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)

        def compute() -> None:
            self.under_way -= 1
            self.computing = True
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:
                future.set_exception(error)
            finally:
                self.computing = False

        self.loop.call_soon(compute)
        return future


@exercise(
    "Between two pieces the loop is free: for the heart, for a report, and for whoever "
    "cancels."
)
def in_pieces(answer: Any) -> None:
    lab.run(_all_pieces(answer), limit=1000)
    lab.run(_cancelled_pieces(answer), limit=1000)


async def _all_pieces(answer: Any) -> None:
    executor = _OneByOne(asyncio.get_running_loop())
    loop = threading.get_ident()
    counted: list[int] = []
    reports: list[Any] = []

    def count(index: int) -> int:
        where = "in the event loop" if threading.get_ident() == loop else "elsewhere"
        assert executor.computing, (
            f"it counts {where}: hand count to the executor, and await that."
        )
        counted.append(index)
        return (index + 1) ** 2

    found = await answer(count, 4, executor, reports.append)
    assert counted, "it hands nothing to the executor."
    assert executor.most == 1, (
        f"it has {executor.most} segments under way at once; others want a turn, too."
    )
    assert counted == [0, 1, 2, 3], (
        f"of 4 segments, it has these counted: {counted}; they are 0 to 3."
    )
    assert found == 30, f"the segments have 1, 4, 9 and 16, and it returns {found!r}."

    assert reports, "it never calls report."
    assert reports == [25, 50, 75, 100], (
        f"of 4 segments, it reports {reports}, not 25, 50, 75 and 100."
    )
    reports.clear()
    await answer(count, 3, executor, reports.append)
    # Rounded down, or to the nearest.
    assert reports in ([33, 66, 100], [33, 67, 100]), (
        f"of 3 segments, it reports {reports}, not whole numbers: 33, 66 and 100."
    )


async def _cancelled_pieces(answer: Any) -> None:
    executor = _OneByOne(asyncio.get_running_loop())

    def count(index: int) -> int:
        if index == 1:
            task.cancel()
        return index

    task = asyncio.ensure_future(answer(count, 5, executor, int))
    await asyncio.wait([task])
    assert task.cancelled(), (
        "it is cancelled, and does not end as cancelled: let CancelledError pass."
    )

    # Time enough for whatever goes on.
    await asyncio.sleep(10)
    assert executor.begun == 2, (
        f"cancelled in the second segment of 5, it has {executor.begun} of them "
        "counted."
    )


class _Breaks(Executor):
    """Raises ``error`` for the first ``times`` calls.

    The others it does at once.
    """

    def __init__(self, times: int, error: Exception) -> None:
        self.times = times
        self.error = error

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        self.times -= 1
        future: Future[Any] = Future()
        if self.times >= 0:
            future.set_exception(self.error)
        else:
            future.set_result(fn(*args, **kwargs))
        return future


class _Counting(TaskManager):
    submitted = 0

    async def __aenter__(self) -> "_Counting":
        await super().__aenter__()
        return self

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.submitted += 1
        assert self.submitted <= 10, "it submits again and again, without an end."
        return super().submit(*args, **kwargs)


@dataclass
class _Outcome:
    """What an answer returned, and how often it had submitted."""

    task: Task
    ran: int


@exercise(
    "Only a failure that may pass is worth another attempt; the limit stops a task "
    "that kills its worker every time."
)
def insist(answer: Any) -> None:
    def outcome(
        submission: Any, times: int = 0, error: Exception | None = None, **options: int
    ) -> _Outcome:
        breaks = _Breaks(times, error or BrokenExecutor())
        play = _play(answer, submission, breaks, **options)
        return lab.run(play, limit=1000)

    report = {
        "task_type": "generate_report",
        "parameters": {"title": "Tides", "sections": 20},
    }
    ran = outcome(report).ran
    assert ran == 1, f"a task that completes is submitted {ran} times."

    primes = {"task_type": "count_primes", "parameters": {"limit": 100}}
    for code, error in (
        ("executor_lost", BrokenExecutor()),
        ("internal_error", RuntimeError("a process was killed")),
    ):
        found = outcome(primes, 1, error)
        assert found.ran > 1, f"after {code}, it does not submit again."
        assert found.ran == 2, (
            f"after one {code} it has submitted {found.ran} times; the second one "
            "completed."
        )
        assert found.task.result == {"count": 25}, (
            f"after one {code} it should return the second task, which completed."
        )

    found = outcome(primes, 10)
    assert found.ran != 4, (
        "it submits four times where three are all: the first one is an attempt, too."
    )
    assert found.ran == 3, (
        f"where everything fails, it submits {found.ran} times, not three."
    )
    assert found.task.error is not None, (
        "where everything fails, it should return the last task, which failed."
    )
    ran = outcome(primes, 10, attempts=2).ran
    assert ran == 2, f"with attempts=2 it submits {ran} times."

    for kind in ("task_failed", "timeout"):
        failing = {"task_type": "simulate_failure", "parameters": {"kind": kind}}
        ran = outcome(failing).ran
        assert ran == 1, f"{kind} would only repeat itself, and it submits {ran} times."


async def _play(
    answer: Any, submission: Any, executor: Executor, **options: int
) -> _Outcome:
    async with _Counting(Settings(), executor=executor) as manager:
        task = await answer(manager, submission, **options)
        assert task is not None, "it returns None, not a task."
        assert task.finished, (
            f"it returns a task that is still {task.status.value}: a wait ends with "
            "any news, and after 10 s without; go on until the task is finished."
        )
        ran = sum(len(page) for page in manager.list_tasks())
        assert ran == manager.submitted, (
            "it submits again with the same key, and gets the task that has failed "
            "already."
        )
        return _Outcome(task, ran)
