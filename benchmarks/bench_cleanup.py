"""Cleanup: how long the event loop stands still while tasks expire.

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
from taskmanager.store import TaskStore
from taskmanager.task import Task

LONG_AGO = 7200.0  # seconds
RETENTION = 3600.0  # seconds
# Seconds until the cleanup looks.
SOON = 0.02
# Tasks that are not due.
STAYING = 100
# Gives the loop's stall, and of it the collector's pauses, in ms.
Stall: TypeAlias = Callable[[], Awaitable[tuple[float, float]]]


def managing(records: int) -> TaskManager:
    settings = Settings(
        queue_size=records,
        max_tasks=records,
        rate_limit=None,
        retention=RETENTION,
        cleanup_interval=SOON,
    )
    return TaskManager(settings)


def finish(manager: TaskManager, count: int, ago: float = 0.0) -> list[Task]:
    """Tasks that finished ``ago`` seconds ago.

    It gives way to nothing else, which would read the wrong clock.
    """
    then = partial(float, time.monotonic() - ago)
    finished = []
    with mock.patch.object(time, "monotonic", then), held.collector_off():
        for _ in range(count):
            task = manager.submit(held.SUM)
            finished.append(manager.cancel(task.task_id))
    return finished


def due(records: dict[str, Task], now: float) -> list[str]:
    """What a scan of all records finds to forget."""
    return [
        task_id
        for task_id, task in records.items()
        if task.status_since + RETENTION <= now
    ]


async def sweep_naively(records: dict[str, Task]) -> None:
    await asyncio.sleep(SOON)
    for task_id in due(records, time.monotonic()):
        del records[task_id]


def engine(bench: Bench, size: int) -> Stall:
    async def sample() -> tuple[float, float]:
        # Its cleanup sleeps until the first await below.
        async with managing(size + STAYING) as manager:
            finish(manager, size, LONG_AGO)
            staying = finish(manager, STAYING)
            async with watch_stalls() as stalls:
                while int(manager.stats()["tasks"]) > STAYING:
                    await asyncio.sleep(0.001)

            kept = manager.stats()["tasks"]
            bench.check(kept == STAYING, "the cleanup took what was not due")
            found = [manager.get(task.task_id) for task in staying]
            bench.check(found == staying, "the cleanup took the wrong tasks")
        return stalls.longest, stalls.collector

    return sample


def naive(bench: Bench, size: int) -> Stall:
    async def sample() -> tuple[float, float]:
        records = _records(size)
        # This frees the manager that made them: nothing else holds a
        # record now, so to delete one is to free it.
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
    tasks = finish(manager, size, LONG_AGO)
    tasks += finish(manager, STAYING)
    return {task.task_id: task for task in tasks}


async def idle_stall() -> float:
    async with watch_stalls() as stalls:
        await asyncio.sleep(0.1)
    return stalls.longest


async def run(bench: Bench) -> None:
    await _all_at_once(bench)
    await _nothing_due(bench)


async def _all_at_once(bench: Bench) -> None:
    sizes = bench.pick([1000], [1000, 100_000], [1000, 100_000, 1_000_000])
    rounds = bench.pick(1, 2, 5)
    contestants = {"taskmanager": engine, "naive sweep": naive}
    series: dict[str, list[tuple[int, float]]] = {name: [] for name in contestants}
    rows: list[tuple[object, ...]] = []

    for size in sizes:
        what = f"{size:,} tasks expire at once, stall, ms"
        samples = {name: make(bench, size) for name, make in contestants.items()}
        turns = await bench.take_turns(what, samples, rounds)
        stalls, pauses = parts_of(turns)
        for name, stall in stalls.items():
            series[name].append((size, stall.median))
            row = (
                f"{name}, {size:,}",
                stall.median,
                max(stall.samples),
                max(pauses[name].samples),
            )
            rows.append(row)

    what = "stall of an idle loop, ms"
    figures = await bench.measure(what, {"idle loop": idle_stall}, rounds)
    idle = figures["idle loop"]
    for_comparison = (
        "idle loop, for comparison",
        idle.median,
        max(idle.samples),
        "",
    )
    rows.append(for_comparison)

    header = [
        "",
        "longest stall, ms",
        "in the worst round",
        "longest pause of the collector, ms",
    ]
    bench.table("Tasks that expire at once", header, rows)
    bench.notes.append(
        "An idle loop's stall is the machine's own. The collector's pauses are not "
        "part of a stall."
    )

    most, longest = series["taskmanager"][-1]
    bench.target(
        f"{most:,} tasks expire at once: longest stall, ms", longest, at_most=5
    )
    chart = Chart(
        name="cleanup",
        title="Tasks that expire at once",
        kind="lines",
        x_label="tasks expired",
        y_label="longest stall of the event loop, ms",
        series=dict(series),
        log_y=True,
    )
    bench.charts.append(chart)


async def _nothing_due(bench: Bench) -> None:
    """What a cleanup costs that finds nothing to do."""
    contestants = {}
    stores = []
    for size in bench.pick([100, 1000], [100, 100_000]):
        store = _store(size)
        stores.append((store, size))
        contestants[f"by order of finish, {size:,} held"] = _sweeping(store)
        contestants[f"scan of all, {size:,} held"] = _scanning(bench, store.by_id)

    with held.frozen():
        await bench.compare("A sweep that finds nothing due", "µs", contestants)
    for store, size in stores:
        bench.check(len(store.by_id) == size, "a sweep took what was not due")


def _store(size: int) -> TaskStore:
    """Records of tasks that finished just now."""
    store = TaskStore(size)
    for task in finish(managing(size), size):
        store.add(task)
        store.finished.append(task)
    return store


def _sweeping(store: TaskStore, repeats: int = 10_000) -> Sample:
    async def sample() -> float:
        begun = time.perf_counter()
        for _ in range(repeats):
            sweep(store, time.monotonic(), RETENTION)
        return (time.perf_counter() - begun) / repeats * 1e6

    return sample


def _scanning(bench: Bench, records: dict[str, Task]) -> Sample:
    repeats = max(1, 10_000 // len(records))

    async def sample() -> float:
        begun = time.perf_counter()
        for _ in range(repeats):
            bench.check(
                not due(records, time.monotonic()), "the scan found something due"
            )
        return (time.perf_counter() - begun) / repeats * 1e6

    return sample
