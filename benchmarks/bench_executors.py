"""Executors: where CPU-bound tasks are worked on, and what each place
costs them and the event loop.

The same small count_primes tasks go through the engine with each
executor, which is started before and stays open, as in a server.
Inline, the work runs on the event loop itself, as it must not. Dask has
a cluster of its own on this machine, whose scheduler shares this
process: what it costs is measured, what more machines bring is not.
"""

import asyncio
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Any

from benchmarks.harness import Bench, Chart, parts_of, watch_stalls
from taskmanager import Settings, TaskManager
from taskmanager.executors import KIND, from_env
from taskmanager.task_types import SUBMISSION

# a limit, and how many primes there are up to it
QUICK, SIZE = (10_000, 1_229), (2_000_000, 148_933)


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
    cores = os.cpu_count() or 1
    spawn, deaf = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
    made: dict[str, Executor] = {
        "inline": Inline(),
        "threads": ThreadPoolExecutor(cores),
        "processes": ProcessPoolExecutor(
            cores, mp_context=spawn, initializer=signal.signal, initargs=deaf
        ),
    }
    if find_spec("distributed") is None:
        bench.left_out.append(
            "Dask: not installed; pip install -r taskmanager/requirements-dask.txt"
        )
    else:
        bench.say("starting a Dask cluster")
        dask = from_env({KIND: "dask"})
        assert dask is not None
        made["Dask"] = dask
    return made


async def _makespan(
    bench: Bench, executor: Executor, tasks: int, limit: int, primes: int
) -> tuple[float, float]:
    """From the first submission to the last result, in ms, and the
    event loop's longest stall meanwhile.
    """
    submission = SUBMISSION.validate_python(
        {"task_type": "count_primes", "parameters": {"limit": limit}}
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
    right = [task.result == {"count": primes} for task in submitted]
    bench.check(
        all(right),
        f"{right.count(False)} of {tasks} tasks have not their result: {submitted[0].error}",
    )
    return makespan, stalls.longest


async def _makespans(bench: Bench, executors: dict[str, Executor]) -> None:
    tasks, (limit, primes), rounds = (
        bench.pick(10, 200),
        bench.pick(QUICK, SIZE),
        bench.pick(1, 2, 5),
    )
    title = f"Makespan of {tasks} tasks that count the primes up to {limit:,}, {os.cpu_count()} cores"
    samples = {
        name: partial(_makespan, bench, executor, tasks, limit, primes)
        for name, executor in executors.items()
    }
    makespans, stalls = parts_of(await bench.take_turns(title, samples, rounds))
    bench.table(
        title,
        [
            "",
            "median, ms",
            "ratio to inline",
            "its quartiles",
            "longest stall of the event loop, ms",
        ],
        [
            (name, each.median, each.ratio, each.spread, max(stalls[name].samples))
            for name, each in makespans.items()
        ],
    )
    bars: list[tuple[Any, float]] = [
        (name, each.median) for name, each in makespans.items()
    ]
    bench.charts.append(
        Chart("executors", title, "bars", "makespan, ms", "", {"tasks": bars})
    )


async def _nothing(bench: Bench, executors: dict[str, Executor]) -> None:
    calls, rounds = bench.pick(3, 20), bench.pick(1, 3, 5)

    async def call(executor: Executor) -> float:
        """The median time, in µs, from handing in one call that does
        nothing until its result is back.
        """
        loop, taken = asyncio.get_running_loop(), []
        for _ in range(calls):
            begun = time.perf_counter()
            bench.check(
                await loop.run_in_executor(executor, int) == 0,
                "a call has not its result",
            )
            taken.append((time.perf_counter() - begun) * 1e6)
        return statistics.median(taken)

    samples: dict[str, Callable[[], Awaitable[float]]] = {
        name: partial(call, executor) for name, executor in executors.items()
    }
    await bench.compare(
        "A call that does nothing, one after another", "µs", samples, rounds
    )
