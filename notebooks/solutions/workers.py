"""Solutions for 03-queue-and-workers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

Job: TypeAlias = Callable[[], Awaitable[object]]

# Batches: 20 + 5 + 20. Workers: one has the first 20 s task from 0 to
# 20, meanwhile the other runs the four of 5 s, and the last begins at
# 20.
makespans = (45, 40)


async def run_all(jobs: list[Job], workers: int) -> None:
    queue: asyncio.Queue[Job] = asyncio.Queue()
    for job in jobs:
        queue.put_nowait(job)

    async def worker() -> None:
        # Nothing is added later, so an empty queue is the end.
        while not queue.empty():
            job = queue.get_nowait()
            # A job that raises counts as done.
            with suppress(Exception):
                await job()

    await asyncio.gather(*(worker() for _ in range(workers)))


# W = L / λ = 12 / (24 / 60 s). And for the workers L = λ·W = 24 / 60 s
# · 10 s.
wait_and_busy = (30, 4)
