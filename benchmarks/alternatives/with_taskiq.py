"""taskiq: coroutines, and Redis, by the package taskiq-redis.

``python -m taskiq worker benchmarks.alternatives.with_taskiq:broker``.
The broker is that of its example, which acknowledges a job once it is
done. A job of a lost worker comes back after ten minutes;
TASKIQ_IDLE_TIMEOUT, in ms, says otherwise.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.alternatives.job import REDIS, Found, Sum, add_up

results: RedisAsyncResultBackend[Sum] = RedisAsyncResultBackend(REDIS)
broker = RedisStreamBroker(
    REDIS, idle_timeout=int(os.environ.get("TASKIQ_IDLE_TIMEOUT", "600000"))
).with_result_backend(results)


@broker.task
async def add(numbers: list[int], seconds: float) -> Sum:
    return await add_up(numbers, seconds)


async def submit(numbers: list[int], seconds: float) -> str:
    return str((await add.kiq(numbers, seconds)).task_id)


async def find(task_id: str) -> Found:
    if not await results.is_result_ready(task_id):
        return Found("queued")

    result = await results.get_result(task_id)
    return Found("completed", result.return_value)


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()
