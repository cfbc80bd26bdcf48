"""Wrong answers to 03-queue-and-workers.

Each has words of the complaint that it must get.
"""

import asyncio
from contextlib import suppress

WRONG: dict[str, list[tuple[object, str]]] = {
    "makespans": [
        ((40, 45), "the other way round"),
        ((40, 40), "not 40 s in batches"),
        ((60, 40), "the slower of its tasks"),
        ((45, 30), "when does the last task begin"),
        ((45, 35), "the free one"),
    ],
    "wait_and_busy": [
        ((0.5, 4), "in seconds"),
        ((28.8, 4), "12 = 24/60"),
        ((30, 5), "not 5 busy"),
        ((30, 240), "L is"),
    ],
}


def queue_of(jobs):
    queue = asyncio.Queue()
    for job in jobs:
        queue.put_nowait(job)
    return queue


async def runs_nothing(jobs, workers):
    queue_of(jobs)


async def one_after_the_other(jobs, workers):
    for job in jobs:
        await job()


async def all_at_once(jobs, workers):
    await asyncio.gather(*(job() for job in jobs), return_exceptions=True)


async def batches(jobs, workers):
    for first in range(0, len(jobs), workers):
        batch = jobs[first : first + workers]
        await all_at_once(batch, workers)


async def endless_loops(jobs, workers):
    queue = queue_of(jobs)

    async def worker():
        while True:
            with suppress(Exception):
                job = await queue.get()
                await job()

    await asyncio.gather(*(worker() for _ in range(workers)))


async def until_the_queue_is_empty(jobs, workers):
    queue = queue_of(jobs)

    async def worker():
        while True:
            with suppress(Exception):
                job = await queue.get()
                await job()

    loops = [asyncio.create_task(worker()) for _ in range(workers)]
    while not queue.empty():
        await asyncio.sleep(0)
    for loop in loops:
        loop.cancel()


async def leaves_its_loops(jobs, workers):
    queue = queue_of(jobs)

    async def worker():
        while True:
            job = await queue.get()
            with suppress(Exception):
                await job()
            queue.task_done()

    loops = [asyncio.create_task(worker()) for _ in range(workers)]
    await queue.join()
    del loops


async def lets_a_worker_die(jobs, workers):
    queue = queue_of(jobs)

    async def worker():
        while not queue.empty():
            job = queue.get_nowait()
            await job()

    await asyncio.gather(*(worker() for _ in range(workers)), return_exceptions=True)


async def raises_what_a_job_raises(jobs, workers):
    queue = queue_of(jobs)

    async def worker():
        while not queue.empty():
            job = queue.get_nowait()
            await job()

    await asyncio.gather(*(worker() for _ in range(workers)))


async def joins_what_a_dead_worker_took(jobs, workers):
    queue = queue_of(jobs)

    async def worker():
        while True:
            job = await queue.get()
            await job()
            queue.task_done()

    loops = asyncio.gather(*(worker() for _ in range(workers)), return_exceptions=True)
    await queue.join()
    loops.cancel()


async def starts_them_and_returns(jobs, workers):
    queue = queue_of(jobs)
    started = []

    async def worker():
        while True:
            job = await queue.get()
            started.append(asyncio.create_task(job()))
            queue.task_done()

    loops = asyncio.gather(*(worker() for _ in range(workers)))
    await queue.join()
    loops.cancel()


async def a_queue_per_worker(jobs, workers):
    async def worker(mine):
        for job in mine:
            with suppress(ValueError):
                await job()

    await asyncio.gather(*(worker(jobs[each::workers]) for each in range(workers)))


WRONG["run_all"] = [
    (runs_nothing, "no job at all"),
    (one_after_the_other, "one job after the other"),
    (all_at_once, "10 jobs at once"),
    (batches, "as in batches"),
    (endless_loops, "waits for ever"),
    (until_the_queue_is_empty, "jobs are done"),
    (leaves_its_loops, "leaves 5 loops behind"),
    (lets_a_worker_die, "of five jobs are run"),
    (raises_what_a_job_raises, "made to fail"),
    (joins_what_a_dead_worker_took, "waits for ever"),
    (starts_them_and_returns, "returns after 0 s"),
    (a_queue_per_worker, "for the worker that is free first"),
]
