"""Submit: POST /tasks, against the same models on FastAPI alone.

The limiter is on. In-process, each client address sends ten requests,
as many as the default limit admits. Over loopback there is one address,
so the limit is set high there; the window is kept and counted all the
same. The log is on, as served, and goes to a file.
"""

import json
import logging
import time

from starlette.types import ASGIApp

from benchmarks import load, loopback
from benchmarks.bare import app as bare_app
from benchmarks.harness import Bench, Sample
from taskmanager.manager import TaskManager


async def run(bench: Bench) -> None:
    await _in_process(bench)
    await loopback.compare(bench, "POST")


async def _in_process(bench: Bench) -> None:
    requests = bench.pick(20, 250)
    addresses = load.addresses()

    def posting(
        app: ASGIApp,
        manager: TaskManager | None = None,
        path: str = "/tasks",
        *,
        whole: bool = False,
        log: bool = True,
    ) -> Sample:
        async def sample() -> float:
            clients = [next(addresses) for _ in range(requests)]
            if not log:
                logging.disable(logging.INFO)
            begun = time.perf_counter()
            answers = [
                await load.request(app, "POST", path, body=load.BODY, client=client)
                for client in clients
            ]
            if whole and manager is not None:
                await load.until_idle(manager)
            seconds = time.perf_counter() - begun
            logging.disable(logging.NOTSET)

            bench.check(
                all(status == 202 for status, _ in answers),
                "a submission was not accepted",
            )
            if manager is not None:
                ids = [json.loads(body)["task_id"] for _, body in answers]
                await _check_results(bench, manager, ids)
            return seconds / requests * 1e6

        return sample

    async with (
        load.running() as (app, manager),
        load.running(rate_limit=None) as (unlimited, other),
    ):
        contestants = {
            "bare FastAPI": posting(bare_app),
            "taskmanager": posting(app, manager),
            "taskmanager, its log off": posting(app, manager, log=False),
            "taskmanager, RATE_LIMIT=off": posting(unlimited, other),
            "taskmanager, until its tasks are done": posting(app, manager, whole=True),
            "bare FastAPI, with Idempotency-Key as a parameter": posting(
                bare_app, path="/keyed"
            ),
        }
        with load.logged():
            figures = await bench.compare(
                "POST /tasks, in-process; log on",
                "µs",
                contestants,
                rounds=bench.pick(1, 11, 31),
            )
    bench.target(
        "POST /tasks in-process, times bare FastAPI",
        figures["taskmanager"].ratio,
        at_most=1.0,
    )


async def _check_results(bench: Bench, manager: TaskManager, ids: list[str]) -> None:
    await load.until_idle(manager)
    tasks = [manager.get(task_id) for task_id in ids]
    bench.check(
        all(task.result == load.RESULT for task in tasks), "a task has not its result"
    )
