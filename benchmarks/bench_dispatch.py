"""Dispatch: tasks through queue and workers, for work that does
nothing.

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
from main import JsonFormatter
from taskmanager import Settings, TaskManager, task_types
from taskmanager.pending import PendingQueue
from taskmanager.store import TaskStore
from taskmanager.task import Task, TaskStatus, new_task_id, timestamp
from taskmanager.task_types import SUBMISSION, Parameters, Result

WORKERS = 5
BARE, OURS, HUEY, TASKIQ = (
    "bare pattern",
    "taskmanager",
    "huey, no workers",
    "taskiq, InMemoryBroker",
)
CHECKED = SUBMISSION.validate_python(SUM)  # as a route receives it


class Work:
    """A job: counts how often it ran, and, where it pauses, how many
    did at once.
    """

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
            while not all(task.finished for task in tasks[-WORKERS:]):
                await manager.wait(
                    next(task for task in tasks[-WORKERS:] if not task.finished).task_id
                )
    if not all(
        task.status is TaskStatus.COMPLETED and task.result == RESULT for task in tasks
    ):
        raise CheckFailedError("a task of the engine has not its result")


async def with_log_lines(jobs: int, work: Work) -> None:
    """As ``python main.py`` logs each change of status, though into a
    file.
    """
    logger = logging.Logger("taskmanager.manager", logging.INFO)
    logger.manager = logging.Manager(logger)  # type: ignore[arg-type] # the common one is told that log lines are off
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


async def run(bench: Bench) -> None:
    contestants: dict[str, Contestant] = {
        BARE: bare_pattern,
        OURS: taskmanager,
        f"{OURS}, log lines on": with_log_lines,
        "gather, Semaphore(5)": gather_with_semaphore,
    }
    for name, module, make in [
        ("aiojobs", "aiojobs", _aiojobs),
        (HUEY, "huey", _huey),
        (TASKIQ, "taskiq", _taskiq),
    ]:
        if (peer := bench.peer(module)) is not None:
            logging.getLogger(module).setLevel(logging.ERROR)
            contestants[name] = make(peer)
    if HUEY in contestants:
        bench.notes.append(
            "huey's jobs are taken out and run by this benchmark, one at a time, without its worker threads and their\n"
            "waiting: in its favour, and no answer to how many run at once."
        )

    jobs, title = (
        bench.pick(50, 2000),
        "A task that does nothing, from handing it in to its result",
    )
    samples = {
        name: partial(_sample, bench, name, contestant, jobs)
        for name, contestant in contestants.items()
    }
    whole, handing_in, dispatch = parts_of(await bench.take_turns(title, samples))
    bench.table(
        title,
        ["", "median, µs", f"ratio to {BARE}", "its quartiles"],
        [
            (name, figure.median, figure.ratio, figure.spread)
            for name, figure in whole.items()
        ],
    )
    bench.table(
        "The same, in its two halves",
        [
            "",
            "handing in, µs",
            "dispatch, µs",
            f"dispatch, ratio to {BARE}",
            "its quartiles",
        ],
        [
            (name, handing_in[name].median, figure.median, figure.ratio, figure.spread)
            for name, figure in dispatch.items()
        ],
    )
    await _count_how_many_at_once(bench, contestants)
    bench.target(f"dispatch, times the {BARE}'s", dispatch[OURS].ratio, at_most=2.5)
    bench.target(
        f"handing in and dispatch, times the {BARE}'s", whole[OURS].ratio, at_most=2.5
    )
    if TASKIQ in whole:
        faster = whole[TASKIQ].times(whole[OURS])
        bench.target(
            "handing in and dispatch, times faster than taskiq", faster, at_least=3
        )
    bars: list[tuple[Any, float]] = [
        (name, figure.median) for name, figure in whole.items()
    ]
    bench.charts.append(Chart("dispatch", title, "bars", "µs a task", "", {"": bars}))
    await _where_it_goes(bench, jobs)


async def _sample(
    bench: Bench, name: str, contestant: Contestant, jobs: int
) -> tuple[float, float, float]:
    """µs a job: all, handing in, dispatch."""
    work = Work()
    begun = time.perf_counter()
    await contestant(jobs, work)
    ended = time.perf_counter()
    bench.check(work.done == jobs, f"{name} did {work.done} of {jobs} jobs")
    handing_in, dispatch = (
        (work.handed_in - begun) / jobs * 1e6,
        (ended - work.handed_in) / jobs * 1e6,
    )
    return handing_in + dispatch, handing_in, dispatch


async def _count_how_many_at_once(
    bench: Bench, contestants: dict[str, Contestant]
) -> None:
    """Whether each keeps to five at once, with jobs that pause."""
    rows = []
    for name, contestant in contestants.items():
        if name != HUEY:
            work = Work(pauses=True)
            await contestant(50, work)
            rows.append(
                (name, WORKERS, work.most, "yes" if work.most == WORKERS else "NO")
            )
            if name == OURS:
                bench.check(
                    work.most == WORKERS,
                    f"the engine ran {work.most} at once, not {WORKERS}",
                )
    bench.table("Told to run five at once", ["", "told", "at most ran", "exact"], rows)


async def _where_it_goes(bench: Bench, jobs: int) -> None:
    title = "Where a task's microseconds go, each part timed alone"
    passes = (await bench.take_turns(title, {"parts": partial(_parts, bench, jobs)}))[
        "parts"
    ]
    parts = {
        part: statistics.median(each[part] for each in passes) for part in passes[0]
    }
    bench.table(title, ["", "µs"], parts.items())


async def _parts(bench: Bench, jobs: int) -> dict[str, float]:
    """µs a task of each part, by the engine's own functions, on as many
    tasks as the whole, which is timed as well.
    """
    parts: dict[str, float] = {}

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        parts[part] = (time.perf_counter() - begun) / jobs * 1e6

    async def run_nothing(
        task_type: str, parameters: Parameters, tools: task_types.Tools
    ) -> Result:
        return RESULT

    whole, handing_in, _ = await _sample(bench, OURS, taskmanager, jobs)
    _, _, bare_dispatch = await _sample(bench, BARE, bare_pattern, jobs)
    store, queue, plain = TaskStore(jobs), PendingQueue(), asyncio.Queue[Task]()
    manager = TaskManager(Settings(queue_size=jobs, max_tasks=jobs, rate_limit=None))
    with timed("handing in: an id"):
        ids = [new_task_id() for _ in range(jobs)]
    with timed("handing in: a record"):
        tasks = [
            Task(
                task_id,
                "compute_sum",
                CHECKED.parameters,
                "normal",
                number,
                (0.0, number),
                5.0,
                "",
                0.0,
            )
            for number, task_id in enumerate(ids)
        ]
    with timed("handing in: a timestamp"):
        for _ in tasks:
            timestamp(int(time.time() * 1000))
    with timed("handing in: kept by id and by page"):
        for task in tasks:
            store.add(task)
    with timed("handing in: put into the queue, in order of place"):
        for task in tasks:
            queue.put_nowait(task)
    parts["handing in: the rest, as calls, checks, a clock"] = handing_in - sum(
        parts.values()
    )

    for task in tasks:
        plain.put_nowait(task)
    parts["dispatch: the bare pattern's"] = bare_dispatch
    with timed("dispatch: taken from the queue, beyond asyncio's"):
        for _ in tasks:
            queue.get_nowait()
    with timed("asyncio's"):
        for _ in tasks:
            plain.get_nowait()
    parts["dispatch: taken from the queue, beyond asyncio's"] -= parts.pop("asyncio's")
    with timed("dispatch: two changes of status, each with its timestamp"):
        for task in tasks:
            manager._change_status(task, TaskStatus.PROCESSING)
            manager._change_status(task, TaskStatus.COMPLETED, result=RESULT)
    with (
        timed("dispatch: the handler called, with its Tools"),
        mock.patch.object(task_types, "run", run_nothing),
    ):
        for task in tasks:
            await manager._handle(task)
    parts["dispatch: the rest, as the worker's own steps, start and stop"] = (
        whole - sum(parts.values())
    )
    return parts | {"all": whole}
