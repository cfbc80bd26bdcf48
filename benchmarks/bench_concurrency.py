"""Concurrency: five workers, with unequal work and with a full queue.

The work sleeps, so the machine's speed hardly matters: a makespan is
compared with what five workers need at the least. The full queue is
driven through the whole application, whose work waits at a gate that
the benchmark opens.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from heapq import heapreplace
from typing import Any
from unittest import mock

from fastapi import FastAPI

from benchmarks import load
from benchmarks.harness import PERCENTILES, Bench, Chart, CheckFailedError, percentile
from taskmanager import Settings, TaskManager, task_types
from taskmanager.task import TaskStatus
from taskmanager.task_types import SUBMISSION, ComputeSum, Parameters, Result

WORKERS = 5
QUEUE_SIZE = 100
# Does the job with this number.
Work = Callable[[int], Awaitable[None]]
Contestant = Callable[[int, Work], Awaitable[None]]


async def run(bench: Bench) -> None:
    await _makespans(bench)
    await _behind_a_slow_one(bench)
    await _full_queue(bench)


def _submission(number: int) -> dict[str, object]:
    return {"task_type": "compute_sum", "parameters": {"numbers": [number]}}


def _number(parameters: Parameters) -> int:
    """The number of the job.

    A task adds up this one number, which is its result too.
    """
    assert isinstance(parameters, ComputeSum)
    [number] = parameters.numbers
    return int(number)


# The contestants


async def taskmanager(jobs: int, work: Work) -> None:
    async def run_job(
        task_type: str, parameters: Parameters, tools: task_types.Tools
    ) -> Result:
        await work(_number(parameters))
        return {"sum": _number(parameters)}

    settings = Settings(queue_size=jobs, rate_limit=None, workers=WORKERS)
    async with TaskManager(settings) as manager:
        with mock.patch.object(task_types, "run", run_job):
            tasks = []
            for job in range(jobs):
                submission = SUBMISSION.validate_python(_submission(job))
                tasks.append(manager.submit(submission))

            for task in tasks:
                while not task.finished:
                    await manager.wait(task.task_id, task.version)

    if [task.result for task in tasks] != [{"sum": job} for job in range(jobs)]:
        raise CheckFailedError("a task has not its result")


async def batches_of_five(jobs: int, work: Work) -> None:
    for first in range(0, jobs, WORKERS):
        batch = range(first, min(first + WORKERS, jobs))
        await asyncio.gather(*(work(job) for job in batch))


async def one_at_a_time(jobs: int, work: Work) -> None:
    for job in range(jobs):
        await work(job)


CONTESTANTS: dict[str, Contestant] = {
    "taskmanager": taskmanager,
    "gathering batches of five": batches_of_five,
    "one at a time": one_at_a_time,
}


# Makespans


async def _finishes(
    bench: Bench, contestant: Contestant, durations: list[float]
) -> list[float]:
    """When each job finished, in seconds from the start.

    Checks that each ran once, and never more than five.
    """
    finished: dict[int, float] = {}
    running = 0
    most = 0

    async def work(job: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(durations[job])
        running -= 1
        bench.check(job not in finished, f"{contestant.__name__} ran a job twice")
        finished[job] = time.perf_counter() - begun

    begun = time.perf_counter()
    await contestant(len(durations), work)

    bench.check(len(finished) == len(durations), f"{contestant.__name__} left jobs out")
    expected = 1 if contestant is one_at_a_time else WORKERS
    bench.check(most == expected, f"{most} ran at once")
    return [finished[job] for job in range(len(durations))]


async def _makespan(
    bench: Bench, contestant: Contestant, durations: list[float]
) -> float:
    return max(await _finishes(bench, contestant, durations)) * 1000


def _in_order(durations: list[float]) -> float:
    """The makespan of workers that take the jobs in this order.

    Each takes the next one when it is free.
    """
    # A heap: the worker that is free first is in front.
    free_at = [0.0] * WORKERS
    for duration in durations:
        heapreplace(free_at, free_at[0] + duration)
    return max(free_at)


async def _makespans(bench: Bench) -> None:
    jobs = bench.pick(10, 40, 200)
    mean = bench.pick(0.002, 0.016)
    rng = random.Random(11)
    kinds = {
        "equal": [mean] * jobs,
        "unequal": [mean * rng.expovariate(1) for _ in range(jobs)],
    }
    series: dict[str, list[tuple[Any, float]]] = {}
    for kind, durations in kinds.items():
        title = (
            f"Makespan of {jobs} tasks of {kind} length, {mean * 1000:g} ms on "
            f"average, {WORKERS} workers"
        )
        samples = {
            name: partial(_makespan, bench, each, durations)
            for name, each in CONTESTANTS.items()
        }
        figures = await bench.measure(title, samples, bench.pick(1, 2, 5))

        ideal = max(sum(durations) / WORKERS, *durations) * 1000
        in_order = _in_order(durations) * 1000
        makespans = {
            "ideal: all five busy to the end": ideal,
            "free workers, in this order": in_order,
        }
        measured = {name: figure.median for name, figure in figures.items()}
        makespans.update(measured)
        rows = [
            (name, makespan, makespan / ideal) for name, makespan in makespans.items()
        ]
        bench.table(title, ["", "ms", "times the ideal"], rows)

        bench.target(
            f"makespan of {jobs} {kind} tasks, times what five free workers need in "
            "this order",
            measured["taskmanager"] / in_order,
            at_most=1.1,
        )
        series[f"{kind} length"] = [("ideal", ideal), *measured.items()]

    chart = Chart(
        name="makespan",
        title=f"{jobs} sleeping tasks, {WORKERS} workers",
        kind="bars",
        x_label="makespan, ms",
        y_label="",
        series=series,
    )
    bench.charts.append(chart)


async def _behind_a_slow_one(bench: Bench) -> None:
    quick = bench.pick(10, 24)
    seconds = bench.pick(0.002, 0.01)
    slow = 20 * seconds
    durations = [slow] + [seconds] * quick
    rows = []
    for name, contestant in CONTESTANTS.items():
        bench.say(f"a slow task among quick ones, {name}")
        finishes = await _finishes(bench, contestant, durations)
        last = max(finishes)
        slow_one, *quick_ones = finishes
        waits = [(finish - seconds) * 1000 for finish in quick_ones]
        row = (
            name,
            percentile(waits, 50),
            max(waits),
            last * 1000,
        )
        rows.append(row)
        if name == "taskmanager":
            bench.check(slow_one == last, "a quick task finished after the slow one")

    header = [
        "",
        "median, ms",
        "longest, ms",
        "makespan, ms",
    ]
    bench.table(
        f"A task of {slow * 1000:g} ms, then {quick} of {seconds * 1000:g} ms: "
        "how long the quick ones wait",
        header,
        rows,
    )


# A full queue


class Gate:
    """Stands in for the work.

    Each task waits for one permit, then adds up its number.
    """

    def __init__(self) -> None:
        self.permits = asyncio.Semaphore(0)

    async def __call__(
        self, task_type: str, parameters: Parameters, tools: task_types.Tools
    ) -> Result:
        await self.permits.acquire()
        return {"sum": _number(parameters)}

    def let_through(self, tasks: int) -> None:
        for _ in range(tasks):
            self.permits.release()


class Client:
    """Submits numbered tasks to an application.

    It keeps what became of them.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.submitted = 0
        # The task's number, by its id.
        self.accepted: dict[str, int] = {}
        # In µs, by status.
        self.latencies: dict[int, list[float]] = {202: [], 503: []}

    async def submit(self) -> int:
        """Submit one more task; its status."""
        body = json.dumps(_submission(self.submitted)).encode()
        begun = time.perf_counter()
        status, answer = await load.request(self._app, "POST", "/tasks", body=body)
        self.latencies[status].append((time.perf_counter() - begun) * 1e6)

        if status == 202:
            task_id = json.loads(answer)["task_id"]
            self.accepted[task_id] = self.submitted
        self.submitted += 1
        return status

    async def cancel(self, task_id: str) -> int:
        status, _ = await load.request(self._app, "DELETE", f"/tasks/{task_id}")
        return status


class Overload:
    """An application whose queue is flooded again and again."""

    def __init__(
        self, bench: Bench, client: Client, manager: TaskManager, refusals: int
    ) -> None:
        self.bench = bench
        self.client = client
        self.manager = manager
        self.refusals = refusals
        self.gate = Gate()
        self.cancelled: set[str] = set()
        # From a task's end to a free slot, in µs.
        self.recovery: list[float] = []

    async def flood(self) -> None:
        """Fill the queue, try what can go wrong, and let all run."""
        before = set(self.client.accepted)
        await self._fill()
        added = [each for each in self.client.accepted if each not in before]
        await self._recover()

        # Those at the workers, the one that has just begun, and one
        # more are left alone.
        queued = added[WORKERS + 2 :]
        await self._cancel(queued[: QUEUE_SIZE // 2])

        # Opens it for what is processing now, and what is queued.
        self.gate.let_through(WORKERS + QUEUE_SIZE)
        await load.until_idle(self.manager)
        self.bench.check(
            self.gate.permits.locked(),
            "not every accepted task has run, or one that was not to",
        )

    async def _fill(self) -> None:
        """As many as are accepted, and then some."""
        before = len(self.client.accepted)
        for _ in range(WORKERS):
            await self.client.submit()
        while self.manager.stats()["processing"] != WORKERS:
            await asyncio.sleep(0)

        statuses = [
            await self.client.submit() for _ in range(QUEUE_SIZE + self.refusals)
        ]
        self.bench.check(
            statuses == [202] * QUEUE_SIZE + [503] * self.refusals,
            f"{statuses.count(202)} were queued, not {QUEUE_SIZE}, or not the first "
            "ones",
        )

        stats = self.manager.stats()
        left = f"a refused submission left something behind: {stats}"
        self.bench.check(stats["queued"] == QUEUE_SIZE, left)
        self.bench.check(stats["processing"] == WORKERS, left)
        self.bench.check(stats["tasks"] == before + WORKERS + QUEUE_SIZE, left)

    async def _recover(self) -> None:
        """A task ends: how long until its worker has the next one?

        A submission can have the slot of that one.
        """
        self.gate.let_through(1)
        begun = time.perf_counter()
        while self.manager.stats()["queued"] == QUEUE_SIZE:
            await asyncio.sleep(0)
        self.recovery.append((time.perf_counter() - begun) * 1e6)

        await self._check_one_slot_is_free(
            "a free slot was not given", "one slot was given twice"
        )

    async def _cancel(self, task_ids: list[str]) -> None:
        """Cancel queued tasks.

        The very next submission must have the slot of each.
        """
        for task_id in task_ids:
            status = await self.client.cancel(task_id)
            self.bench.check(status == 200, "a queued task could not be cancelled")
            await self._check_one_slot_is_free(
                "a cancelled task kept its slot",
                "a cancelled task gave more than its slot",
            )
            self.cancelled.add(task_id)

    async def _check_one_slot_is_free(self, if_none: str, if_more: str) -> None:
        self.bench.check(await self.client.submit() == 202, if_none)
        self.bench.check(await self.client.submit() == 503, if_more)

    def check(self) -> None:
        """Read each task that was accepted, all of them."""
        for task_id, number in self.client.accepted.items():
            task = self.manager.get(task_id)
            if task_id in self.cancelled:
                self.bench.check(
                    task.status is TaskStatus.CANCELLED,
                    f"a cancelled task is {task.status.value}",
                )
            else:
                done = task.status is TaskStatus.COMPLETED
                right = task.result == {"sum": number}
                self.bench.check(done and right, "a task has not its result")


async def _full_queue(bench: Bench) -> None:
    floods = bench.pick(1, 10, 50)
    refusals = bench.pick(20, 100)
    settings = {
        "queue_size": QUEUE_SIZE,
        "workers": WORKERS,
        "rate_limit": None,
        "task_timeout": 600,
    }
    async with load.running(**settings) as (app, manager):
        client = Client(app)
        overload = Overload(bench, client, manager, refusals)
        with mock.patch.object(task_types, "run", overload.gate):
            for flood in range(floods):
                bench.say(f"queue full, {flood + 1} of {floods}")
                await overload.flood()
        overload.check()

    named = {
        "202, room in the queue": client.latencies[202],
        "503, queue full": client.latencies[503],
        "from a task's end to a free slot": overload.recovery,
    }
    rows = []
    for name, samples in named.items():
        percentiles = [percentile(samples, percent) for percent in PERCENTILES]
        rows.append((name, len(samples), *percentiles))
    header = [
        "",
        "count",
        *(f"p{percent}, µs" for percent in PERCENTILES),
    ]
    posts = WORKERS + QUEUE_SIZE + refusals
    bench.table(
        f"Overload of the whole application, in-process, {floods} floods of {posts} "
        "POSTs",
        header,
        rows,
    )

    cancelled = len(overload.cancelled)
    others = len(client.accepted) - cancelled
    bench.notes.append(
        f"Overload: exactly {WORKERS} + {QUEUE_SIZE} accepted each time. {cancelled} "
        "queued tasks cancelled,\neach slot free for the very next submission; the "
        f"{others} others completed,\neach with its result."
    )
