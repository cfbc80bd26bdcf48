"""Concurrency: what five workers make of unequal work, and what a full
queue does.

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

WORKERS, QUEUE_SIZE = 5, 100
Work = Callable[[int], Awaitable[None]]  # does the job with this number
Contestant = Callable[[int, Work], Awaitable[None]]


async def run(bench: Bench) -> None:
    await _makespans(bench)
    await _behind_a_slow_one(bench)
    await _full_queue(bench)


def _submission(number: int) -> dict[str, object]:
    return {"task_type": "compute_sum", "parameters": {"numbers": [number]}}


def _number(parameters: Parameters) -> int:
    """Of the job: a task adds up this one number, which is its result
    too.
    """
    assert isinstance(parameters, ComputeSum)
    return int(parameters.numbers[0])


async def taskmanager(jobs: int, work: Work) -> None:
    async def run_job(
        task_type: str, parameters: Parameters, tools: task_types.Tools
    ) -> Result:
        await work(_number(parameters))
        return {"sum": _number(parameters)}

    async with TaskManager(
        Settings(queue_size=jobs, rate_limit=None, workers=WORKERS)
    ) as manager:
        with mock.patch.object(task_types, "run", run_job):
            tasks = [
                manager.submit(SUBMISSION.validate_python(_submission(job)))
                for job in range(jobs)
            ]
            for task in tasks:
                while not task.finished:
                    await manager.wait(task.task_id, task.version)
    if [task.result for task in tasks] != [{"sum": job} for job in range(jobs)]:
        raise CheckFailedError("a task has not its result")


async def batches_of_five(jobs: int, work: Work) -> None:
    for first in range(0, jobs, WORKERS):
        await asyncio.gather(
            *(work(job) for job in range(first, min(first + WORKERS, jobs)))
        )


async def one_at_a_time(jobs: int, work: Work) -> None:
    for job in range(jobs):
        await work(job)


CONTESTANTS: dict[str, Contestant] = {
    "taskmanager": taskmanager,
    "gathering batches of five": batches_of_five,
    "one at a time": one_at_a_time,
}


async def _finishes(
    bench: Bench, contestant: Contestant, durations: list[float]
) -> list[float]:
    """When each job finished, in seconds from the start; checks that
    each ran once, and never more than five.
    """
    finished: dict[int, float] = {}
    running = most = 0

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
    bench.check(
        most == (1 if contestant is one_at_a_time else WORKERS), f"{most} ran at once"
    )
    return [finished[job] for job in range(len(durations))]


async def _makespan(
    bench: Bench, contestant: Contestant, durations: list[float]
) -> float:
    return max(await _finishes(bench, contestant, durations)) * 1000


def _in_order(durations: list[float]) -> float:
    """The makespan of workers that take the next job, in this order,
    whenever they are free.
    """
    free_at = [0.0] * WORKERS  # a heap
    for duration in durations:
        heapreplace(free_at, free_at[0] + duration)
    return max(free_at)


async def _makespans(bench: Bench) -> None:
    jobs, mean, rounds = (
        bench.pick(10, 40, 200),
        bench.pick(0.002, 0.016),
        bench.pick(1, 2, 5),
    )
    rng = random.Random(11)
    kinds = {
        "equal": [mean] * jobs,
        "unequal": [mean * rng.expovariate(1) for _ in range(jobs)],
    }
    series: dict[str, list[tuple[Any, float]]] = {}
    for kind, durations in kinds.items():
        title = f"Makespan of {jobs} tasks of {kind} length, {mean * 1000:g} ms on average, {WORKERS} workers"
        samples = {
            name: partial(_makespan, bench, each, durations)
            for name, each in CONTESTANTS.items()
        }
        figures = await bench.measure(title, samples, rounds)
        makespans = {name: figure.median for name, figure in figures.items()}
        ideal, in_order = (
            max(sum(durations) / WORKERS, *durations) * 1000,
            _in_order(durations) * 1000,
        )
        bench.table(
            title,
            ["", "ms", "times the ideal"],
            [
                ("ideal: all five busy to the end", ideal, 1.0),
                ("free workers, in this order", in_order, in_order / ideal),
                *(
                    (name, makespan, makespan / ideal)
                    for name, makespan in makespans.items()
                ),
            ],
        )
        text = f"makespan of {jobs} {kind} tasks, times what five free workers need in this order"
        bench.target(text, makespans["taskmanager"] / in_order, at_most=1.1)
        series[f"{kind} length"] = [("ideal", ideal), *makespans.items()]
    bench.charts.append(
        Chart(
            "makespan",
            f"{jobs} sleeping tasks, {WORKERS} workers",
            "bars",
            "makespan, ms",
            "",
            series,
        )
    )


async def _behind_a_slow_one(bench: Bench) -> None:
    quick, seconds = bench.pick(10, 24), bench.pick(0.002, 0.01)
    slow = 20 * seconds
    durations = [slow] + [seconds] * quick
    rows = []
    for name, contestant in CONTESTANTS.items():
        bench.say(f"a slow task among quick ones, {name}")
        finishes = await _finishes(bench, contestant, durations)
        waits = [(finish - seconds) * 1000 for finish in finishes[1:]]
        rows.append((name, percentile(waits, 50), max(waits), max(finishes) * 1000))
        if name == "taskmanager":
            bench.check(
                finishes[0] == max(finishes), "a quick task finished after the slow one"
            )
    bench.table(
        f"A task of {slow * 1000:g} ms, then {quick} of {seconds * 1000:g} ms: how long the quick ones wait",
        ["", "median, ms", "longest, ms", "makespan, ms"],
        rows,
    )


class Gate:
    """Stands in for the work: each task waits for one permit, then adds
    up its number.
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
    """Submits numbered tasks to an application, and keeps what became
    of them.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.submitted = 0
        self.accepted: dict[str, int] = {}  # the task's number, by its id
        self.latencies: dict[int, list[float]] = {202: [], 503: []}  # in µs

    async def submit(self) -> int:
        """Submit one more task; its status."""
        body = json.dumps(_submission(self.submitted)).encode()
        begun = time.perf_counter()
        status, answer = await load.request(self._app, "POST", "/tasks", body=body)
        self.latencies[status].append((time.perf_counter() - begun) * 1e6)
        if status == 202:
            self.accepted[json.loads(answer)["task_id"]] = self.submitted
        self.submitted += 1
        return status

    async def cancel(self, task_id: str) -> int:
        status, _ = await load.request(self._app, "DELETE", f"/tasks/{task_id}")
        return status


async def _full_queue(bench: Bench) -> None:
    floods, refusals = bench.pick(1, 10, 50), bench.pick(20, 100)
    recovery: list[float] = []
    cancelled: set[str] = set()
    gate = Gate()
    settings = {
        "queue_size": QUEUE_SIZE,
        "workers": WORKERS,
        "rate_limit": None,
        "task_timeout": 600,
    }
    async with load.running(**settings) as (app, manager):
        client = Client(app)
        with mock.patch.object(task_types, "run", gate):
            for flood in range(floods):
                bench.say(f"queue full, {flood + 1} of {floods}")
                before = len(client.accepted)
                for _ in range(WORKERS):
                    await client.submit()
                while manager.stats()["processing"] != WORKERS:
                    await asyncio.sleep(0)
                statuses = [await client.submit() for _ in range(QUEUE_SIZE + refusals)]
                bench.check(
                    statuses == [202] * QUEUE_SIZE + [503] * refusals,
                    f"{statuses.count(202)} were queued, not {QUEUE_SIZE}, or not the first ones",
                )
                stats = manager.stats()
                bench.check(
                    (stats["queued"], stats["processing"], stats["tasks"])
                    == (QUEUE_SIZE, WORKERS, before + WORKERS + QUEUE_SIZE),
                    f"a refused submission left something behind: {stats}",
                )

                # A task ends: how long until its worker has taken the
                # next one, whose slot a submission can have?
                gate.let_through(1)
                begun = time.perf_counter()
                while manager.stats()["queued"] == QUEUE_SIZE:
                    await asyncio.sleep(0)
                recovery.append((time.perf_counter() - begun) * 1e6)
                bench.check(await client.submit() == 202, "a free slot was not given")
                bench.check(await client.submit() == 503, "one slot was given twice")

                # A queued task is cancelled: the very next submission
                # must have its slot.
                for task_id in list(client.accepted)[
                    before + WORKERS + 2 : before + WORKERS + 2 + QUEUE_SIZE // 2
                ]:
                    bench.check(
                        await client.cancel(task_id) == 200,
                        "a queued task could not be cancelled",
                    )
                    bench.check(
                        await client.submit() == 202, "a cancelled task kept its slot"
                    )
                    bench.check(
                        await client.submit() == 503,
                        "a cancelled task gave more than its slot",
                    )
                    cancelled.add(task_id)

                # what is processing now, and what is queued
                gate.let_through(WORKERS + QUEUE_SIZE)
                await load.until_idle(manager)
                bench.check(
                    gate.permits.locked(),
                    "not every accepted task has run, or one that was not to",
                )
        for task_id, number in client.accepted.items():
            task = manager.get(task_id)
            status, result = TaskStatus.COMPLETED, {"sum": number}
            if task_id in cancelled:
                bench.check(
                    task.status is TaskStatus.CANCELLED,
                    f"a cancelled task is {task.status.value}",
                )
            else:
                bench.check(
                    (task.status, task.result) == (status, result),
                    "a task has not its result",
                )
    named = {
        "202, room in the queue": client.latencies[202],
        "503, queue full": client.latencies[503],
    }
    bench.table(
        f"Overload of the whole application, in-process, {floods} floods of {WORKERS + QUEUE_SIZE + refusals} POSTs",
        ["", "count", *(f"p{percent}, µs" for percent in PERCENTILES)],
        [
            (
                name,
                len(samples),
                *(percentile(samples, percent) for percent in PERCENTILES),
            )
            for name, samples in (
                named | {"from a task's end to a free slot": recovery}
            ).items()
        ],
    )
    bench.notes.append(
        f"Overload: exactly {WORKERS} + {QUEUE_SIZE} accepted each time. {len(cancelled)} queued tasks cancelled,\n"
        f"each slot free for the very next submission; the {len(client.accepted) - len(cancelled)} others completed,\n"
        "each with its result."
    )
