"""Cleanup: how long the event loop stands still while many tasks expire
at once.

The engine's own cleanup loop runs over records that finished long ago,
beside some that finished just now and have to stay. The reference is a
naive sweep, which scans all records and deletes what is due in one go.
The records are of cancelled tasks, which expire as completed ones do
and are made faster; without a result, one is removed a fifth faster.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias
from unittest import mock

from benchmarks import held
from benchmarks.harness import Bench, Chart, Sample, parts_of, watch_stalls
from taskmanager import Settings, TaskManager
from taskmanager.cleanup import sweep
from taskmanager.task import Task

LONG_AGO, RETENTION = 7200.0, 3600.0  # seconds
SOON = 0.02  # seconds until the cleanup looks
STAYING = 100
# of the loop, and of it the collector's pauses, in ms
Stall: TypeAlias = Callable[[], Awaitable[tuple[float, float]]]


def managing(records: int) -> TaskManager:
    sizes = {"queue_size": records, "max_tasks": records}
    return TaskManager(
        Settings(**sizes, rate_limit=None, retention=RETENTION, cleanup_interval=SOON)
    )


def finish(manager: TaskManager, count: int, ago: float = 0.0) -> list[Task]:
    """Tasks that finished ``ago`` seconds ago. It gives way to nothing
    else, which would read the wrong clock.
    """
    then = partial(float, time.monotonic() - ago)
    with mock.patch.object(time, "monotonic", then), held.collector_off():
        return [manager.cancel(manager.submit(held.SUM).task_id) for _ in range(count)]


async def sweep_naively(records: dict[str, Task]) -> None:
    await asyncio.sleep(SOON)
    now = time.monotonic()
    for task_id in [
        task_id
        for task_id, task in records.items()
        if task.status_since + RETENTION <= now
    ]:
        del records[task_id]


def engine(bench: Bench, size: int) -> Stall:
    async def sample() -> tuple[float, float]:
        # its cleanup sleeps until the first await below
        async with managing(size + STAYING) as manager:
            finish(manager, size, LONG_AGO)
            staying = finish(manager, STAYING)
            async with watch_stalls() as stalls:
                while int(manager.stats()["tasks"]) > STAYING:
                    await asyncio.sleep(0.001)
            bench.check(
                manager.stats()["tasks"] == STAYING, "the cleanup took what was not due"
            )
            bench.check(
                [manager.get(task.task_id) for task in staying] == staying,
                "the cleanup took the wrong tasks",
            )
        return stalls.longest, stalls.collector

    return sample


def naive(bench: Bench, size: int) -> Stall:
    async def sample() -> tuple[float, float]:
        records = _records(size)
        # the manager that made them: nothing else holds a record now,
        # so to delete one is to free it
        gc.collect()
        async with watch_stalls() as stalls:
            await sweep_naively(records)
        bench.check(
            len(records) == STAYING,
            "the naive sweep left what was due, or took what was not",
        )
        return stalls.longest, stalls.collector

    return sample


def _records(size: int) -> dict[str, Task]:
    manager = managing(size + STAYING)
    return {
        task.task_id: task
        for task in finish(manager, size, LONG_AGO) + finish(manager, STAYING)
    }


async def idle_stall() -> float:
    async with watch_stalls() as stalls:
        await asyncio.sleep(0.1)
    return stalls.longest


async def run(bench: Bench) -> None:
    sizes, rounds = (
        bench.pick([1000], [1000, 100_000], [1000, 100_000, 1_000_000]),
        bench.pick(1, 2, 5),
    )
    contestants = {"taskmanager": engine, "naive sweep": naive}
    series: dict[str, list[tuple[int, float]]] = {name: [] for name in contestants}
    rows: list[tuple[object, ...]] = []
    for size in sizes:
        samples = {name: make(bench, size) for name, make in contestants.items()}
        stalls, pauses = parts_of(
            await bench.take_turns(
                f"{size:,} tasks expire at once, stall, ms", samples, rounds
            )
        )
        for name, figure in stalls.items():
            series[name].append((size, figure.median))
            rows.append(
                (
                    f"{name}, {size:,}",
                    figure.median,
                    max(figure.samples),
                    max(pauses[name].samples),
                )
            )
    idle = (
        await bench.measure(
            "stall of an idle loop, ms", {"idle loop": idle_stall}, rounds
        )
    )["idle loop"]
    bench.notes.append(
        "An idle loop's stall is the machine's own. The collector's pauses are not part of a stall."
    )
    bench.table(
        "Tasks that expire at once",
        [
            "",
            "longest stall, ms",
            "in the worst round",
            "longest pause of the collector, ms",
        ],
        [*rows, ("idle loop, for comparison", idle.median, max(idle.samples), "")],
    )
    stall = series["taskmanager"][-1][1]
    bench.target(
        f"{sizes[-1]:,} tasks expire at once: longest stall, ms", stall, at_most=5
    )
    y_label = "longest stall of the event loop, ms"
    bench.charts.append(
        Chart(
            "cleanup",
            "Tasks that expire at once",
            "lines",
            "tasks expired",
            y_label,
            dict(series),
            True,
        )
    )
    await _nothing_due(bench, bench.pick([100, 1000], [100, 100_000]))


async def _nothing_due(bench: Bench, sizes: list[int]) -> None:
    """What a cleanup costs that finds nothing to do."""

    def sweeping(manager: TaskManager, repeats: int = 10_000) -> Sample:
        async def sample() -> float:
            begun = time.perf_counter()
            for _ in range(repeats):
                sweep(manager._store, manager.limiter, time.monotonic(), RETENTION)
            return (time.perf_counter() - begun) / repeats * 1e6

        return sample

    def scanning(records: dict[str, Task]) -> Sample:
        repeats = max(1, 10_000 // len(records))

        async def sample() -> float:
            begun = time.perf_counter()
            for _ in range(repeats):
                now = time.monotonic()
                due = [
                    task_id
                    for task_id, task in records.items()
                    if task.status_since + RETENTION <= now
                ]
                bench.check(not due, "the scan found something due")
            return (time.perf_counter() - begun) / repeats * 1e6

        return sample

    contestants = {}
    for size in sizes:
        manager = managing(size)
        records = {task.task_id: task for task in finish(manager, size)}
        contestants[f"by order of finish, {size:,} held"] = sweeping(manager)
        contestants[f"scan of all, {size:,} held"] = scanning(records)
    with held.frozen():
        await bench.compare("A sweep that finds nothing due", "µs", contestants)
    bench.check(manager.stats()["tasks"] == sizes[-1], "a sweep took what was not due")
