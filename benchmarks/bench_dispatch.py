"""Dispatch: tasks through queue and workers, for work that does nothing.

The reference is the bare pattern: an asyncio.Queue, five loops gathered, an asyncio.Task a job, and no state at all.
The engine's figure has all its bookkeeping: record, states, progress, timeout, a result that is checked. "Handing in"
is all up to the last submission; "dispatch" is from then on until the last result is there.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from itertools import count
from types import ModuleType
from typing import TypeAlias
from unittest import mock

from benchmarks.harness import Bench, Chart, Sample, median_of, shown
from benchmarks.load import RESULT, SUM
from taskmanager import Settings, TaskManager, handlers
from taskmanager.models import Result, Task, TaskStatus, new_task_id, timestamp
from taskmanager.parameters import SUBMISSION, Parameters
from taskmanager.pending import PendingQueue
from taskmanager.store import TaskStore

WORKERS = 5
CHECKED = SUBMISSION.validate_python(SUM)  # as a route receives it


class Work:
    """A job: counts how often it ran, and, where it pauses, how many did at once."""

    def __init__(self, pauses: bool = False) -> None:
        self.pauses, self.done, self.running, self.most = pauses, 0, 0, 0
        self.handed_in = 0.0  # when the last job was

    async def __call__(self) -> None:
        self.running += 1
        if self.pauses:  # only then can another run at the same time
            self.most = max(self.most, self.running)
            await asyncio.sleep(0)
        self.running -= 1
        self.done += 1


Contestant: TypeAlias = Callable[[int, Work], Awaitable[None]]


async def bare_pattern(jobs: int, work: Work) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def worker() -> None:
        while True:
            await queue.get()
            await asyncio.create_task(work())
            queue.task_done()

    workers = [asyncio.create_task(worker()) for _ in range(WORKERS)]
    for job in range(jobs):
        queue.put_nowait(job)
    work.handed_in = time.perf_counter()
    await queue.join()
    for each in workers:
        each.cancel()


async def gather_with_semaphore(jobs: int, work: Work) -> None:
    limit = asyncio.Semaphore(WORKERS)

    async def limited() -> None:
        async with limit:
            await work()

    coroutines = [limited() for _ in range(jobs)]
    work.handed_in = time.perf_counter()
    await asyncio.gather(*coroutines)


async def taskmanager(jobs: int, work: Work) -> None:
    async def run_nothing(task_type: str, parameters: Parameters, tools: handlers.Tools) -> Result:
        await work()
        return RESULT

    settings = Settings(queue_size=jobs, max_tasks=jobs, rate_limit=None, workers=WORKERS)
    with mock.patch.object(handlers, "run", run_nothing):
        async with TaskManager(settings) as manager:
            tasks = [manager.submit(CHECKED) for _ in range(jobs)]
            work.handed_in = time.perf_counter()
            while not all(task.finished for task in tasks[-WORKERS:]):
                await manager.wait(next(task for task in tasks[-WORKERS:] if not task.finished).task_id)
    assert all(task.status is TaskStatus.COMPLETED and task.result == RESULT for task in tasks)


def _aiojobs(module: ModuleType) -> Contestant:
    async def aiojobs(jobs: int, work: Work) -> None:
        scheduler = module.Scheduler(limit=WORKERS, pending_limit=0)
        for _ in range(jobs):
            await scheduler.spawn(work())
        work.handed_in = time.perf_counter()
        await scheduler.wait_and_close()

    return aiojobs


def _taskiq(module: ModuleType) -> Contestant:
    async def taskiq(jobs: int, work: Work) -> None:
        broker = module.InMemoryBroker(max_async_tasks=WORKERS, max_stored_results=jobs)

        @broker.task  # type: ignore[untyped-decorator, unused-ignore]
        async def job() -> Result:
            await work()
            return RESULT

        await broker.startup()
        handles = [await job.kiq() for _ in range(jobs)]
        work.handed_in = time.perf_counter()
        await broker.wait_all()
        results = [await handle.get_result() for handle in handles]
        await broker.shutdown()
        assert all(result.return_value == RESULT for result in results)

    return taskiq


def _huey(module: ModuleType) -> Contestant:
    async def huey(jobs: int, work: Work) -> None:
        # Its workers are threads, which would only add to its figure: this thread takes the jobs out itself.
        queue = module.MemoryHuey()

        @queue.task()  # type: ignore[untyped-decorator, unused-ignore]
        def job() -> Result:
            work.done += 1
            return RESULT

        handles = [job() for _ in range(jobs)]
        work.handed_in = time.perf_counter()
        while (taken := queue.dequeue()) is not None:
            queue.execute(taken)
        assert all(handle.get() == RESULT for handle in handles)

    return huey


async def run(bench: Bench) -> None:
    jobs = bench.pick(50, 2000)
    contestants: dict[str, Contestant] = {
        "bare pattern": bare_pattern,
        "taskmanager": taskmanager,
        "gather, Semaphore(5)": gather_with_semaphore,
    }
    for name, module, make in [
        ("aiojobs", "aiojobs", _aiojobs),
        ("huey", "huey", _huey),
        ("taskiq, InMemoryBroker", "taskiq", _taskiq),
    ]:
        if (peer := bench.peer(module)) is not None:
            logging.getLogger(module).setLevel(logging.ERROR)
            contestants[name] = make(peer)

    parts: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}

    def timed(name: str, contestant: Contestant) -> Sample:
        async def sample() -> float:
            work = Work()
            begun = time.perf_counter()
            await contestant(jobs, work)
            ended = time.perf_counter()
            bench.check(work.done == jobs, f"{name} did {work.done} of {jobs} jobs")
            parts[name].append(((work.handed_in - begun) / jobs * 1e6, (ended - work.handed_in) / jobs * 1e6))
            return (ended - begun) / jobs * 1e6

        return sample

    figures = await bench.compare(
        "A task that does nothing, from handing it in to its result",
        "µs",
        {name: timed(name, contestant) for name, contestant in contestants.items()},
    )
    halves = {name: [median_of(half) for half in zip(*found, strict=True)] for name, found in parts.items()}
    base = halves["bare pattern"][1]
    bench.table(
        "The same, in its two halves",
        ["", "handing in, µs", "dispatch, µs", "dispatch, ratio to bare pattern"],
        [(name, handing_in, rest, f"{rest / base:.2f}") for name, (handing_in, rest) in halves.items()],
    )
    await _count_how_many_at_once(bench, contestants)
    bench.target("dispatch, times the bare pattern's", halves["taskmanager"][1] / base, at_most=2.5)
    bench.target("handing in and dispatch, times the bare pattern's", figures["taskmanager"].ratio, at_most=2.5)
    if "taskiq, InMemoryBroker" in figures:
        faster = figures["taskiq, InMemoryBroker"].ratio / figures["taskmanager"].ratio
        bench.target("handing in and dispatch, times faster than taskiq", faster, at_least=3)
    bench.charts.append(
        Chart(
            "dispatch",
            "A task that does nothing, from handing it in to its result",
            "bars",
            "µs a task",
            "",
            {"": [(name, figure.median) for name, figure in figures.items()]},
        )
    )
    _where_it_goes(bench, figures["taskmanager"].median, figures["bare pattern"].median)


async def _count_how_many_at_once(bench: Bench, contestants: dict[str, Contestant]) -> None:
    """Whether each keeps to five at once, with jobs that pause; huey's own loop has one."""
    rows = []
    for name, contestant in contestants.items():
        if name != "huey":
            work = Work(pauses=True)
            await contestant(50, work)
            rows.append((name, WORKERS, work.most, "yes" if work.most == WORKERS else "NO"))
            if name == "taskmanager":
                bench.check(work.most == WORKERS, f"the engine ran {work.most} at once, not {WORKERS}")
    bench.table("Told to run five at once", ["", "told", "at most ran", "exact"], rows)


def _where_it_goes(bench: Bench, total: float, bare: float) -> None:
    """Time each part alone, with the engine's own functions."""
    numbers, calls = count(), bench.pick(100, 20_000)
    store, ours, plain = TaskStore(calls), PendingQueue(), asyncio.Queue[Task]()
    loop = asyncio.get_running_loop()

    def record() -> Task:
        number = next(numbers)
        return Task("", "compute_sum", CHECKED.parameters, "normal", number, (0.0, number), 5.0, "", 0.0)

    def keep() -> None:
        store.add(task := record())
        store.finished.append(task)

    def through(queue: asyncio.Queue[Task]) -> Callable[[], Task]:
        def put_and_get() -> Task:
            queue.put_nowait(record())
            return queue.get_nowait()

        return put_and_get

    def change_twice() -> None:
        task = record()
        task.change_status(TaskStatus.PROCESSING, "", 0.0)
        task.change_status(TaskStatus.COMPLETED, "", 0.0, RESULT)

    def three_timestamps() -> None:
        for _ in range(3):
            timestamp(time.time())

    def alone(function: Callable[[], object]) -> float:
        figures = []
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(calls):
                function()
            figures.append((time.perf_counter() - begun) / calls * 1e6)
        return median_of(figures)

    a_record = alone(record)
    known = {
        "bare pattern: queue, loops, an asyncio.Task": bare,
        "the id": alone(new_task_id),
        "the record": a_record,
        "kept by id, by page, by finish": alone(keep) - a_record,
        "the queue in order of place, beyond asyncio's": alone(through(ours)) - alone(through(plain)),
        "two changes of status": alone(change_twice) - a_record,
        "three timestamps": alone(three_timestamps),
        "the future that frees a worker": alone(lambda: loop.create_future().set_result(None)),
    }
    rest = total - sum(known.values())
    rows = [*known.items(), ("the rest: calls, clocks, Tools, start and stop of an engine", rest), ("all", total)]
    bench.table(
        "Where a task's microseconds go, each part timed alone", ["", "µs"], [(name, shown(us)) for name, us in rows]
    )
