"""Tasks that a benchmark has the engine hold.

What that asks of handlers and of the garbage collector is here as well.
Rule: each held task has parameters and a result of its own, as
submitted ones do; shared ones would stay in the caches.
"""

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from unittest import mock

from fastapi import FastAPI

from benchmarks import load
from taskmanager import TaskManager, task_types
from taskmanager.ratelimit import SlidingWindow
from taskmanager.store import TaskStore
from taskmanager.task_types import Parameters, Result

SUM: dict[str, object] = {**load.SUM}
# Under ``instant_work()`` it goes on until it is cancelled.
ENDLESS: dict[str, object] = {"task_type": "count_primes", "parameters": {"limit": 0}}
CHUNK = 500


@contextlib.contextmanager
def instant_work() -> Iterator[None]:
    """Handlers that take no time.

    Only count_primes goes on until it is cancelled.
    """

    async def run(
        task_type: str, parameters: Parameters, tools: task_types.Tools
    ) -> Result:
        if task_type == "count_primes":
            await asyncio.get_running_loop().create_future()
        return dict(load.RESULT)

    with mock.patch.object(task_types, "run", run):
        yield


async def fill(manager: TaskManager, count: int) -> list[str]:
    """Have ``count`` tasks completed, under ``instant_work()``.

    Their ids, in the order submitted.
    """
    ids: list[str] = []
    with collector_off():
        while len(ids) < count:
            missing = count - len(ids)
            chunk = [manager.submit(SUM) for _ in range(min(CHUNK, missing))]
            ids += [task.task_id for task in chunk]
            await load.until_idle(manager)
    return ids


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """For making what is to stay.

    The collector would pass over all of it, again and again, and free
    nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """Take what is there now out of the collector's reach.

    Its full passes are not the cost of what is measured.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


# Parts of an engine, to look at what it holds


def limiter_of(app: FastAPI) -> SlidingWindow:
    """The limiter of a running application."""
    limiter: SlidingWindow = app.state.limiter
    return limiter


def store_of(manager: TaskManager) -> TaskStore:
    """The records that an engine keeps.

    This is the one private name of the engine that benchmarks use: to
    forget again what an operation added, and to read a record without
    the engine.
    """
    return manager._store
