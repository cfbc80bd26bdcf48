"""Checks for 15-outgrowing-one-machine."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from math import isclose
from typing import Any
from unittest import mock

from notebooks import lab
from notebooks.checks import exercise, numbers_of
from taskmanager import Settings, TaskManager
from taskmanager.task import Task


@exercise(
    "Each number is a rate times a time, as in Little's law, with twice the room "
    "where nothing may be busy for more than half."
)
def sizing(answer: Any) -> None:
    cores, gigabytes, processes = numbers_of(answer, 3)

    assert cores != 600, (
        "600 cores would be busy all of their time; give them twice the room."
    )
    assert isclose(cores, 1200), (
        f"not {cores} cores: under way = 2,000 a second times 0.3 s, each on half of a "
        "core."
    )

    assert gigabytes < 1e6, (
        "that is the number of bytes; give it in GB, of 10**9 bytes."
    )
    assert not isclose(gigabytes, 0.004), (
        "0.004 GB come in each second; they are kept for 600."
    )
    assert isclose(gigabytes, 2.4), (
        f"not {gigabytes} GB: 2,000 a second times 600 s times 2,000 bytes."
    )

    assert processes != 2, "two processes would be busy for two thirds of their time."
    assert processes == int(processes), (
        f"there is no such thing as {processes:.2f} processes: round up."
    )
    assert processes == 3, (
        f"not {processes} processes: 2,000 / 1,500, doubled, and rounded up."
    )


@exercise(
    "Every proxy sends a client to the same shard, so one shard sees all of its "
    "requests and can count them.",
    plain=True,
)
def shard_of(answer: Any) -> None:
    def found(address: str, shards: int = 4) -> int:
        shard = answer(address, shards)
        assert isinstance(shard, int), (
            f"for {address} it returns {shard!r:.40}, not a whole number."
        )
        assert 0 <= shard < shards, (
            f"for {address} and {shards} shards it returns {shard}: they are 0 to "
            f"{shards - 1}."
        )
        return shard

    found("10.0.0.1", 1)
    near = [f"10.0.{n // 250}.{n % 250}" for n in range(2000)]
    before = list(map(found, near))
    assert before == list(map(found, near)), (
        "the same address does not always get the same shard."
    )

    # This stands in for another process.
    with mock.patch("builtins.hash", lambda value: len(repr(value)) * 7):
        assert before == list(map(found, near)), (
            "hash() of a str differs from process to process, so two proxies disagree; "
            "see zlib.crc32 or hashlib."
        )

    for n in range(50):
        network = f"2001:db8:0:{n:x}:"
        assert found(f"{network}:1") == found(f"{network}5::2"), (
            "two addresses of one IPv6 /64 are one client to the limiter, so they need "
            "the same shard."
        )

    _even(found, near, "10.0.0.0 to 10.0.7.249")
    routers = [f"10.{n // 250}.{n % 250}.1" for n in range(2000)]
    _even(found, routers, "that end in .1, as those of routers do,")
    networks = [f"2001:db8:{n:x}::1" for n in range(2000)]
    _even(found, networks, "of as many IPv6 networks")


def _even(found: Callable[[str], int], addresses: list[str], which: str) -> None:
    ((shard, most),) = Counter(map(found, addresses)).most_common(1)
    assert most < 0.4 * len(addresses), (
        f"of {len(addresses):,} addresses {which} shard {shard} of four gets {most:,}; "
        "about a quarter is fair."
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
