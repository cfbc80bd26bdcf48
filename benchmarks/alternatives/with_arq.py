"""arq: coroutines, and Redis.

``python -m arq benchmarks.alternatives.with_arq.WorkerSettings``: that
worker looks for jobs twice a second, unless ARQ_POLL_DELAY says how
often.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import ArqRedis, create_pool
from arq.connections import RedisSettings
from arq.jobs import Job, JobStatus

from benchmarks.alternatives.job import REDIS, WORKERS, Found, Sum, add_up

pool: ArqRedis


async def add(context: dict[str, Any], numbers: list[int], seconds: float) -> Sum:
    return await add_up(numbers, seconds)


class WorkerSettings:
    """What its worker reads."""

    functions = (add,)
    redis_settings = RedisSettings.from_dsn(REDIS)
    max_jobs = WORKERS
    poll_delay = float(os.environ.get("ARQ_POLL_DELAY", "0.5"))


async def submit(numbers: list[int], seconds: float) -> str:
    job = await pool.enqueue_job("add", numbers, seconds)
    assert job is not None
    return str(job.job_id)


async def find(task_id: str) -> Found | None:
    job = Job(task_id, pool)
    status = await job.status()
    if status is JobStatus.not_found:
        return None
    if status is JobStatus.complete:
        return Found("completed", await job.result())
    return Found(status.value)


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    global pool
    pool = await create_pool(WorkerSettings.redis_settings)
    yield
    await pool.aclose()
