"""Dispatch: tasks that do nothing, through queue and workers.

The reference is the bare pattern: an asyncio.Queue, five loops
gathered, an asyncio.Task a job, and no state at all. The engine's
figure has all its bookkeeping: record, states, progress, timeout, a
result that is checked. "Handing in" is all up to the last submission;
"dispatch" is from then on until the last result is there.
"""

import asyncio
import logging
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias
from unittest import mock

from benchmarks.harness import Bench, Chart, CheckFailedError, parts_of
from benchmarks.load import RESULT, SUM
from taskmanager import Settings, TaskManager, task_types
from taskmanager.logs import JsonFormatter
from taskmanager.pending import PendingQueue
from taskmanager.store import TaskStore
from taskmanager.task import Task, TaskStatus, new_task_id, timestamp
from taskmanager.task_types import SUBMISSION, Parameters, Result

WORKERS = 5
BARE = "bare pattern"
OURS = "taskmanager"
AIOJOBS = "aiojobs"
HUEY = "huey, no workers"
TASKIQ = "taskiq, InMemoryBroker"
# As a route receives it.
CHECKED = SUBMISSION.validate_python(SUM)


class Work:
    """A job: counts how often it ran.

    Where it pauses, it also counts how many ran at once.
    """

    def __init__(self, pauses: bool = False) -> None:
        self.pauses = pauses
        self.done = 0
        self.running = 0
        self.most = 0
        # When the last job was.
        self.handed_in = 0.0

    async def __call__(self) -> None:
        self.running += 1
        # Only then can another run at the same time.
        if self.pauses:
            self.most = max(self.most, self.running)
            await asyncio.sleep(0)
        self.running -= 1
        self.done += 1


# The contestants

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
    async def run_nothing(
        task_type: str, parameters: Parameters, tools: task_types.Tools
    ) -> Result:
        await work()
        return RESULT

    settings = Settings(
        queue_size=jobs, max_tasks=jobs, rate_limit=None, workers=WORKERS
    )
    with mock.patch.object(task_types, "run", run_nothing):
        async with TaskManager(settings) as manager:
            tasks = [manager.submit(CHECKED) for _ in range(jobs)]
            work.handed_in = time.perf_counter()
            for task in tasks[-WORKERS:]:
                while not task.finished:
                    await manager.wait(task.task_id)

    for task in tasks:
        if task.status is not TaskStatus.COMPLETED or task.result != RESULT:
            raise CheckFailedError("a task of the engine has not its result")


async def with_log_lines(jobs: int, work: Work) -> None:
    """With each change of status logged, though into a file."""
    logger = logging.Logger("taskmanager.manager", logging.INFO)
    # The common manager of loggers is told that log lines are off.
    logger.manager = logging.Manager(logger)  # type: ignore[arg-type]
    with (
        tempfile.TemporaryFile("w") as file,
        mock.patch("taskmanager.manager.logger", logger),
    ):
        handler = logging.StreamHandler(file)
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
        await taskmanager(jobs, work)
        if not file.tell():
            raise CheckFailedError("nothing was logged")


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
        if not all(result.return_value == RESULT for result in results):
            raise CheckFailedError("a task of taskiq has not its result")

    return taskiq


def _huey(module: ModuleType) -> Contestant:
    async def huey(jobs: int, work: Work) -> None:
        # Its workers are threads, which would only add to its figure:
        # this thread takes the jobs out itself.
        queue = module.MemoryHuey()

        @queue.task()  # type: ignore[untyped-decorator, unused-ignore]
        def job() -> Result:
            work.done += 1
            return RESULT

        handles = [job() for _ in range(jobs)]
        work.handed_in = time.perf_counter()
        while (taken := queue.dequeue()) is not None:
            queue.execute(taken)
        if not all(handle.get() == RESULT for handle in handles):
            raise CheckFailedError("a task of huey has not its result")

    return huey


def _contestants(bench: Bench) -> dict[str, Contestant]:
    contestants: dict[str, Contestant] = {
        BARE: bare_pattern,
        OURS: taskmanager,
        f"{OURS}, log lines on": with_log_lines,
        "gather, Semaphore(5)": gather_with_semaphore,
    }
    peers = {
        "aiojobs": (AIOJOBS, _aiojobs),
        "huey": (HUEY, _huey),
        "taskiq": (TASKIQ, _taskiq),
    }
    for module, (name, make) in peers.items():
        peer = bench.peer(module)
        if peer is not None:
            logging.getLogger(module).setLevel(logging.ERROR)
            contestants[name] = make(peer)
    return contestants


# The measurements


async def run(bench: Bench) -> None:
    contestants = _contestants(bench)
    if HUEY in contestants:
        bench.notes.append(
            "huey's jobs are taken out and run by this benchmark, one at a time, "
            "without its worker\nthreads and their waiting: in its favour, and no "
            "answer to how many run at once."
        )

    jobs = bench.pick(50, 2000)
    await _compare(bench, contestants, jobs)
    await _count_how_many_at_once(bench, contestants)
    await _where_it_goes(bench, jobs)


async def _compare(bench: Bench, contestants: dict[str, Contestant], jobs: int) -> None:
    title = "A task that does nothing, from handing it in to its result"
    samples = {
        name: partial(_sample, bench, name, contestant, jobs)
        for name, contestant in contestants.items()
    }
    whole, handing_in, dispatch = parts_of(await bench.take_turns(title, samples))

    header = [
        "",
        "median, µs",
        f"ratio to {BARE}",
        "its quartiles",
    ]
    rows: list[tuple[object, ...]] = []
    for name, figure in whole.items():
        row = (
            name,
            figure.median,
            figure.ratio,
            figure.spread,
        )
        rows.append(row)
    bench.table(title, header, rows)

    header = [
        "",
        "handing in, µs",
        "dispatch, µs",
        f"dispatch, ratio to {BARE}",
        "its quartiles",
    ]
    halves: list[tuple[object, ...]] = []
    for name, figure in dispatch.items():
        half = (
            name,
            handing_in[name].median,
            figure.median,
            figure.ratio,
            figure.spread,
        )
        halves.append(half)
    bench.table("The same, in its two halves", header, halves)

    bench.target(f"dispatch, times the {BARE}'s", dispatch[OURS].ratio, at_most=2.5)
    bars: list[tuple[Any, float]] = [
        (name, figure.median) for name, figure in whole.items()
    ]
    chart = Chart(
        name="dispatch",
        title=title,
        kind="bars",
        x_label="µs a task",
        y_label="",
        series={"": bars},
    )
    bench.charts.append(chart)


async def _sample(
    bench: Bench, name: str, contestant: Contestant, jobs: int
) -> tuple[float, float, float]:
    """µs a job: all, handing in, dispatch."""
    work = Work()
    begun = time.perf_counter()
    await contestant(jobs, work)
    ended = time.perf_counter()

    bench.check(work.done == jobs, f"{name} did {work.done} of {jobs} jobs")
    handing_in = (work.handed_in - begun) / jobs * 1e6
    dispatch = (ended - work.handed_in) / jobs * 1e6
    return handing_in + dispatch, handing_in, dispatch


async def _count_how_many_at_once(
    bench: Bench, contestants: dict[str, Contestant]
) -> None:
    """Whether each keeps to five at once, with jobs that pause."""
    rows = []
    for name, contestant in contestants.items():
        if name == HUEY:
            continue

        work = Work(pauses=True)
        await contestant(50, work)
        exact = work.most == WORKERS
        verdict = "yes" if exact else "NO"
        if name == OURS:
            bench.check(exact, f"the engine ran {work.most} at once, not {WORKERS}")
        row = (
            name,
            WORKERS,
            work.most,
            verdict,
        )
        rows.append(row)

    header = [
        "",
        "told",
        "at most ran",
        "exact",
    ]
    bench.table("Told to run five at once", header, rows)


# Where it goes


async def _where_it_goes(bench: Bench, jobs: int) -> None:
    title = "Where a task's microseconds go, each part timed alone"
    turns = await bench.take_turns(title, {"parts": partial(_parts, bench, jobs)})

    parts: dict[str, list[float]] = {}
    for one_pass in turns["parts"]:
        for part, taken in one_pass.items():
            parts.setdefault(part, []).append(taken)
    rows = [(part, statistics.median(taken)) for part, taken in parts.items()]
    bench.table(title, ["", "µs"], rows)


async def _parts(bench: Bench, jobs: int) -> dict[str, float]:
    """µs a task of each part, by the engine's own functions.

    They work on as many tasks as the whole, which is timed as well.
    """
    whole, handing_in, _ = await _sample(bench, OURS, taskmanager, jobs)
    _, _, bare_dispatch = await _sample(bench, BARE, bare_pattern, jobs)

    parts: dict[str, float] = {}
    queue = PendingQueue()
    tasks = _hand_in(jobs, queue, parts)
    rest = handing_in - sum(parts.values())
    parts["handing in: the rest, as calls, checks, a clock"] = rest

    parts["dispatch: the bare pattern's"] = bare_dispatch
    await _dispatch(tasks, queue, parts)
    rest = whole - sum(parts.values())
    parts["dispatch: the rest, as the worker's own steps, start and stop"] = rest
    parts["all"] = whole
    return parts


@contextmanager
def _timed(parts: dict[str, float], part: str, jobs: int) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    parts[part] = (time.perf_counter() - begun) / jobs * 1e6


def _hand_in(jobs: int, queue: PendingQueue, parts: dict[str, float]) -> list[Task]:
    store = TaskStore(jobs)
    with _timed(parts, "handing in: an id", jobs):
        ids = [new_task_id() for _ in range(jobs)]
    with _timed(parts, "handing in: a record", jobs):
        tasks = [
            Task(
                task_id=task_id,
                task_type="compute_sum",
                parameters=CHECKED.parameters,
                priority="normal",
                number=number,
                place=(0.0, number),
                expected_seconds=5.0,
                created_at="",
                clock_offset=0.0,
                status_since=0.0,
            )
            for number, task_id in enumerate(ids)
        ]
    with _timed(parts, "handing in: a timestamp", jobs):
        for _ in tasks:
            timestamp(time.time())
    with _timed(parts, "handing in: kept by id and by page", jobs):
        for task in tasks:
            store.add(task)
    with _timed(parts, "handing in: put into the queue, in order of place", jobs):
        for task in tasks:
            queue.put_nowait(task)
    return tasks


async def _dispatch(
    tasks: list[Task], queue: PendingQueue, parts: dict[str, float]
) -> None:
    jobs = len(tasks)
    plain = asyncio.Queue[Task]()
    for task in tasks:
        plain.put_nowait(task)
    by_asyncio: dict[str, float] = {}
    taken = "dispatch: taken from the queue, beyond asyncio's"
    with _timed(parts, taken, jobs):
        for _ in tasks:
            queue.get_nowait()
    with _timed(by_asyncio, taken, jobs):
        for _ in tasks:
            plain.get_nowait()
    parts[taken] -= by_asyncio[taken]

    def change_status(
        task: Task, status: TaskStatus, result: Result | None = None
    ) -> None:
        at = timestamp(time.time())
        task.change_status(status, at, time.monotonic(), result)

    with _timed(
        parts, "dispatch: two changes of status, each with its timestamp", jobs
    ):
        for task in tasks:
            change_status(task, TaskStatus.PROCESSING)
            change_status(task, TaskStatus.COMPLETED, RESULT)

    async def run_nothing(
        task_type: str, parameters: Parameters, tools: task_types.Tools
    ) -> Result:
        return RESULT

    async def in_executor(function: Callable[..., int], *args: int) -> int:
        return function(*args)

    with _timed(parts, "dispatch: the handler called, with its Tools", jobs):
        for task in tasks:
            tools = task_types.Tools(1.0, task.report_progress, in_executor)
            await run_nothing(task.task_type, task.parameters, tools)
