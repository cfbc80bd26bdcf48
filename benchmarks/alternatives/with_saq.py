"""SAQ: coroutines, and Redis.

``python -m saq benchmarks.alternatives.with_saq.settings``
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from saq import Queue, Status

from benchmarks.alternatives.job import REDIS, WORKERS, Found, Sum, add_up

queue = Queue.from_url(REDIS)


async def add(context: dict[str, Any], *, numbers: list[int], seconds: float) -> Sum:
    return await add_up(numbers, seconds)


settings = {
    "queue": queue,
    "functions": [add],
    "concurrency": WORKERS,
}


async def submit(numbers: list[int], seconds: float) -> str:
    job = await queue.enqueue("add", numbers=numbers, seconds=seconds)
    assert job is not None
    return str(job.key)


async def find(task_id: str) -> Found | None:
    job = await queue.job(task_id)
    if job is None:
        return None
    if job.status is Status.COMPLETE:
        return Found("completed", job.result)
    return Found(job.status.value)


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    await queue.connect()
    yield
    await queue.disconnect()
