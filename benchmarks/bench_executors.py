"""Executors: what each place of CPU-bound work costs.

It costs the tasks, and the event loop. The same small count_primes
tasks go through the engine with each executor, which is started before
and stays open, as in a server. Inline, the work runs on the event loop
itself, as it must not. Dask has a cluster of its own on this machine,
whose scheduler shares this process: what it costs is measured, what
more machines bring is not.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

from benchmarks.harness import Bench, Chart, parts_of, watch_stalls
from taskmanager import Settings, TaskManager
from taskmanager.executors import new_executor
from taskmanager.task_types import SUBMISSION


class Primes(NamedTuple):
    """A limit, and how many primes there are up to it."""

    limit: int
    expected: int


QUICK = Primes(limit=10_000, expected=1_229)
DEFAULT = Primes(limit=2_000_000, expected=148_933)


class Inline(Executor):
    """Does the work at once, where it is handed in."""

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


async def run(bench: Bench) -> None:
    with ExitStack() as stack:
        executors = {
            name: stack.enter_context(executor)
            for name, executor in _executors(bench).items()
        }
        await _makespans(bench, executors)
        await _nothing(bench, executors)


def _executors(bench: Bench) -> dict[str, Executor]:
    made: dict[str, Executor] = {
        "inline": Inline(),
        "threads": new_executor(Settings(executor="thread")),
        "processes": new_executor(Settings(executor="process")),
    }

    if find_spec("distributed") is None:
        bench.left_out.append(
            "Dask: not installed; pip install -r taskmanager/requirements-dask.txt"
        )
    else:
        bench.say("starting a Dask cluster")
        made["Dask"] = new_executor(Settings(executor="dask"))
    return made


async def _makespan(
    bench: Bench, executor: Executor, tasks: int, primes: Primes
) -> tuple[float, float]:
    """From the first submission to the last result, in ms.

    And the event loop's longest stall meanwhile.
    """
    submission = SUBMISSION.validate_python(
        {"task_type": "count_primes", "parameters": {"limit": primes.limit}}
    )
    settings = Settings(queue_size=tasks, rate_limit=None)
    async with (
        TaskManager(settings, executor=executor) as manager,
        watch_stalls() as stalls,
    ):
        begun = time.perf_counter()
        submitted = [manager.submit(submission) for _ in range(tasks)]
        for task in submitted:
            while not task.finished:
                await manager.wait(task.task_id, task.version)
        makespan = (time.perf_counter() - begun) * 1000

    wrong = [task for task in submitted if task.result != {"count": primes.expected}]
    errors = [task.error for task in wrong[:1]]
    bench.check(
        not wrong, f"{len(wrong)} of {tasks} tasks have not their result: {errors}"
    )
    return makespan, stalls.longest


async def _makespans(bench: Bench, executors: dict[str, Executor]) -> None:
    tasks = bench.pick(10, 200)
    primes = bench.pick(QUICK, DEFAULT)
    title = (
        f"Makespan of {tasks} tasks that count the primes up to {primes.limit:,}, "
        f"{os.cpu_count()} cores"
    )
    samples = {
        name: partial(_makespan, bench, executor, tasks, primes)
        for name, executor in executors.items()
    }
    turns = await bench.take_turns(title, samples, bench.pick(1, 2, 5))
    makespans, stalls = parts_of(turns)

    header = [
        "",
        "median, ms",
        "ratio to inline",
        "its quartiles",
        "longest stall of the event loop, ms",
    ]
    rows: list[tuple[object, ...]] = []
    for name, makespan in makespans.items():
        row = (
            name,
            makespan.median,
            makespan.ratio,
            makespan.spread,
            max(stalls[name].samples),
        )
        rows.append(row)
    bench.table(title, header, rows)

    bars: list[tuple[Any, float]] = [
        (name, makespan.median) for name, makespan in makespans.items()
    ]
    chart = Chart(
        name="executors",
        title=title,
        kind="bars",
        x_label="makespan, ms",
        y_label="",
        series={"tasks": bars},
    )
    bench.charts.append(chart)


async def _nothing(bench: Bench, executors: dict[str, Executor]) -> None:
    calls = bench.pick(3, 20)

    async def call(executor: Executor) -> float:
        """The median time of one call that does nothing, in µs.

        From handing it in until its result is back.
        """
        loop = asyncio.get_running_loop()
        taken = []
        for _ in range(calls):
            begun = time.perf_counter()
            result = await loop.run_in_executor(executor, int)
            bench.check(result == 0, "a call has not its result")
            taken.append((time.perf_counter() - begun) * 1e6)
        return statistics.median(taken)

    samples: dict[str, Callable[[], Awaitable[float]]] = {
        name: partial(call, executor) for name, executor in executors.items()
    }
    await bench.compare(
        "A call that does nothing, one after another",
        "µs",
        samples,
        bench.pick(1, 3, 5),
    )
