"""Submit: POST /tasks, limiter on, against the same models on FastAPI alone; in-process, and over loopback.

In-process, each client address sends ten requests, as many as the default limit admits. Over loopback there is one
address, so the limit is set high there; the window is kept and counted all the same.
"""

import json
import time
from contextlib import ExitStack
from typing import Any

from starlette.types import ASGIApp

from benchmarks import load
from benchmarks.bare import app as bare_app
from benchmarks.harness import Bench, Chart, Sample
from taskmanager.manager import TaskManager

LIMIT = 1_000_000_000


async def run(bench: Bench) -> None:
    await _in_process(bench)
    await _over_loopback(bench)


async def _in_process(bench: Bench) -> None:
    requests = bench.pick(20, 500)
    addresses = load.addresses()

    def posting(app: ASGIApp, manager: TaskManager | None = None) -> Sample:
        async def sample() -> float:
            clients = [next(addresses) for _ in range(requests)]
            begun = time.perf_counter()
            answers = [await load.request(app, "POST", "/tasks", body=load.BODY, client=client) for client in clients]
            seconds = time.perf_counter() - begun
            bench.check(all(status == 202 for status, _ in answers), "a submission was not accepted")
            if manager is not None:
                await load.until_idle(manager)
                tasks = [manager.get(json.loads(body)["task_id"]) for _, body in answers]
                bench.check(all(task.result == load.RESULT for task in tasks), "a task has not its result")
            return seconds / requests * 1e6

        return sample

    async with load.running() as (app, manager), load.running(rate_limit=None) as (unlimited, other):
        figures = await bench.compare(
            "POST /tasks, in-process",
            "µs",
            {
                "bare FastAPI": posting(bare_app),
                "taskmanager": posting(app, manager),
                "taskmanager, RATE_LIMIT=off": posting(unlimited, other),
            },
        )
    bench.target("POST /tasks in-process, times bare FastAPI", figures["taskmanager"].ratio, at_most=1.2)


async def _over_loopback(bench: Bench) -> None:
    seconds = bench.pick(0.2, 1.0, 3.0)
    message = load.http_request("POST", "/tasks", load.BODY)

    def by_wrk(port: int) -> Sample:
        async def sample() -> float:
            return 1e6 / load.wrk(port, "POST", "/tasks", load.BODY, seconds=round(seconds))

        return sample

    def built_in(port: int) -> Sample:
        async def sample() -> float:
            requests_per_second, _ = await load.hammer(port, message, seconds=seconds, expect=202)
            return 1e6 / requests_per_second

        return sample

    with ExitStack() as stack:
        ours: dict[str, Any] = {"rate_limit": LIMIT, "queue_size": 1_000_000, "work_scale": 0}
        ports = {
            "bare FastAPI": stack.enter_context(load.server("benchmarks.bare:app")),
            "taskmanager": stack.enter_context(load.server(**ours)),
            "taskmanager, log lines on": stack.enter_context(load.server("main:app", **ours)),
        }
        if load.WRK is not None and bench.size != "quick":
            contestants = {name: by_wrk(port) for name, port in ports.items()}
        else:
            if load.WRK is None:
                bench.left_out.append("wrk: not installed (a package of Debian and of Homebrew); measured by our own")
            contestants = {name: built_in(port) for name, port in ports.items()}
        figures = await bench.compare(
            "POST /tasks over loopback, one uvicorn process, 16 connections; dispatch of the tasks included",
            "µs",
            contestants,
            rounds=bench.pick(1, 3, 9),
        )
    bench.charts.append(
        Chart(
            "submit",
            "POST /tasks over loopback, one process",
            "bars",
            "requests per second",
            "",
            {"": [(name, 1e6 / figure.median) for name, figure in figures.items()]},
        )
    )
