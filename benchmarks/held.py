"""Tasks that a benchmark has the engine hold, and what that asks of
handlers and of the garbage collector.

Rule: each held task has parameters and a result of its own, as
submitted ones do; shared ones would stay in the caches.
"""

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from unittest import mock

from benchmarks import load
from taskmanager import TaskManager, task_types
from taskmanager.task_types import Parameters, Result

SUM: dict[str, object] = {**load.SUM}
# under instant_work()
ENDLESS: dict[str, object] = {"task_type": "count_primes", "parameters": {"limit": 0}}
CHUNK = 500


@contextlib.contextmanager
def instant_work() -> Iterator[None]:
    """Handlers that take no time; only count_primes goes on until it is
    cancelled.
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
    """Have ``count`` tasks completed, under instant_work(); their ids
    in the order submitted.
    """
    ids: list[str] = []
    with collector_off():
        while len(ids) < count:
            ids += [
                manager.submit(SUM).task_id for _ in range(min(CHUNK, count - len(ids)))
            ]
            await load.until_idle(manager)
    return ids


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """For making what is to stay: the collector would pass over all of
    it, again and again, and free nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """Take what is there now out of the collector's reach: its full
    passes are not the cost of what is measured.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
