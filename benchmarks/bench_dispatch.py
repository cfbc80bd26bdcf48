"""Dispatch: tasks/s through queue and workers, for work that does nothing.

The engine's figure is from ``submit`` of a checked submission to the last task ``completed``, with all its bookkeeping:
record, states, events, progress, timeout. The reference is the bare pattern: an asyncio.Queue, five loops gathered, an
asyncio.Task a job, and no state at all.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from unittest import mock

from benchmarks.harness import Bench, CheckFailedError, Sample
from benchmarks.load import RESULT, SUM, until_idle
from taskmanager import Settings, TaskManager, handlers
from taskmanager.models import Result, TaskStatus
from taskmanager.parameters import SUBMISSION, Parameters

WORKERS = 5


class Work:
    """A job: it counts how often it ran, and how many did at once."""

    def __init__(self, pauses: bool = False) -> None:
        self.pauses = pauses  # to see how many run at once, a job has to let others run
        self.done = self.running = self.most = 0

    async def __call__(self) -> None:
        self.running += 1
        if self.pauses:
            self.most = max(self.most, self.running)
            await asyncio.sleep(0)
        self.running -= 1
        self.done += 1


Contestant = Callable[[int, Work], Awaitable[None]]


async def bare_pattern(jobs: int, work: Work) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def worker() -> None:
        while True:
            await queue.get()
            await asyncio.create_task(work())
            queue.task_done()

    workers = asyncio.gather(*(worker() for _ in range(WORKERS)))
    for job in range(jobs):
        queue.put_nowait(job)
    await queue.join()
    workers.cancel()


async def gather_with_semaphore(jobs: int, work: Work) -> None:
    limit = asyncio.Semaphore(WORKERS)

    async def limited() -> None:
        async with limit:
            await work()

    await asyncio.gather(*(limited() for _ in range(jobs)))


async def taskmanager(jobs: int, work: Work) -> None:
    """Submits what has been checked already, as a route does, and waits for the last to complete."""

    async def run_nothing(task_type: str, parameters: Parameters, tools: handlers.Tools) -> Result:
        await work()
        return RESULT

    submission = SUBMISSION.validate_python(SUM)
    async with TaskManager(Settings(queue_size=jobs, max_tasks=jobs, rate_limit=None, workers=WORKERS)) as manager:
        with mock.patch.object(handlers, "run", run_nothing):
            tasks = [manager.submit(submission) for _ in range(jobs)]
            while not tasks[-1].finished:
                await manager.wait(tasks[-1].task_id, tasks[-1].version)
            await until_idle(manager)
    if not all(task.status is TaskStatus.COMPLETED and task.result == RESULT for task in tasks):
        raise CheckFailedError("a task is not completed with its result")


async def run(bench: Bench) -> None:
    jobs = bench.pick(50, 2000)

    def timed(contestant: Contestant, at_once: int | None = WORKERS) -> Sample:
        async def sample() -> float:
            work = Work()
            begun = time.perf_counter()
            await contestant(jobs, work)
            seconds = time.perf_counter() - begun
            bench.check(work.done == jobs, f"{contestant.__name__} did {work.done} of {jobs} jobs")
            return seconds / jobs * 1e6

        return sample

    contestants = {
        "bare pattern": timed(bare_pattern),
        "taskmanager": timed(taskmanager),
        "gather, Semaphore(5)": timed(gather_with_semaphore),
    }
    await bench.compare("A task that does nothing", "µs", contestants)
