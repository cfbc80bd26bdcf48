"""Poll: GET /tasks/{id} against the same route on FastAPI alone; and
long polls, thousands of them held at once.

Long polls are held in-process and over real sockets. Each waits for a
task of its own, which is then cancelled: the wake-up delay is from just
before the cancellation until the response is there.
"""

import asyncio
import gc
import json
import time
import tracemalloc
from typing import Any

from fastapi import FastAPI

from benchmarks import bare, held, load, loopback
from benchmarks.harness import PERCENTILES, Bench, Chart, Sample, percentile
from taskmanager.manager import TaskManager

HELD: dict[str, Any] = {
    "rate_limit": None,
    "wait_timeout": 600,
    "work_scale": 1_000,
    "task_timeout": 100_000,
    "workers": 1,
}


async def run(bench: Bench) -> None:
    await _plain_polls(bench)
    await loopback.compare(bench, "GET")
    await _held_in_process(bench)
    await _held_on_sockets(bench)


async def _finished(app: FastAPI) -> str:
    """The id of a task that has been submitted and, by the engine,
    completed.
    """
    status, body = await load.request(app, "POST", "/tasks", body=load.BODY)
    assert status == 202
    await asyncio.sleep(0.01)
    return str(json.loads(body)["task_id"])


async def _plain_polls(bench: Bench) -> None:
    requests = bench.pick(20, 250)
    addresses = load.addresses()

    def polling(app: FastAPI, path: str, status: str) -> Sample:
        async def sample() -> float:
            clients = [next(addresses) for _ in range(requests)]
            begun = time.perf_counter()
            answers = [
                await load.request(app, "GET", path, client=client)
                for client in clients
            ]
            seconds = time.perf_counter() - begun
            bench.check(all(code == 200 for code, _ in answers), "a poll was refused")
            bench.check(
                all(json.loads(body)["status"] == status for _, body in answers),
                "a poll's answer is wrong",
            )
            return seconds / requests * 1e6

        return sample

    async with load.running() as (app, _):
        bare_id, task_id = await _finished(bare.app), await _finished(app)
        figures = await bench.compare(
            "GET /tasks/{task_id}, in-process",
            "µs",
            {
                "bare FastAPI": polling(bare.app, f"/tasks/{bare_id}", "queued"),
                "taskmanager": polling(app, f"/tasks/{task_id}", "completed"),
                "bare FastAPI, without wait and since": polling(
                    bare.app, f"/plainly/{bare_id}", "queued"
                ),
            },
            rounds=bench.pick(1, 11, 31),
        )
    bench.target(
        "GET in-process, times bare FastAPI with the same parameters",
        figures["taskmanager"].ratio,
        at_most=1.2,
    )


async def _held_in_process(bench: Bench) -> None:
    pollers = bench.pick(100, 1_000, 10_000)
    async with load.running(**HELD) as (app, manager):
        bench.say(f"memory of {pollers:,} long polls")
        framework = await _memory_of(pollers, bare.app, "/held", manager)
        beyond = await _memory_of(pollers, app, "/tasks", manager) - framework
    bench.table(
        f"Memory of a long poll, {pollers:,} held in-process",
        ["", "bytes"],
        [
            ("FastAPI's own, for a request that waits", framework),
            ("the engine's, beyond it", beyond),
        ],
    )
    bench.target("bytes a long poll beyond FastAPI's own", beyond, at_most=4096)

    rows = []
    curves: dict[str, list[tuple[Any, float]]] = {
        f"p{percent}": [] for percent in PERCENTILES
    }
    for pollers in bench.pick([100], [100, 1_000, 10_000]):
        bench.say(f"{pollers:,} long polls, in-process")
        async with load.running(**HELD) as (app, manager):
            delays = await _wake_each(bench, pollers, app, manager)
        typical, late = percentile(delays, 50), percentile(delays, 99)
        rows.append((pollers, typical, late, late / typical))
        for percent in PERCENTILES:
            curves[f"p{percent}"].append((pollers, percentile(delays, percent)))
    bench.table(
        "Long polls held in-process, each woken by its own change",
        ["pollers", "wake-up p50, µs", "p99, µs", "p99 / p50"],
        rows,
    )
    bench.target(
        f"{pollers:,} long polls: p99 of a wake-up, times its p50",
        late / typical,
        at_most=10,
    )
    bench.charts.append(
        Chart(
            "long-polls",
            "From a change to the response of the long poll that waits for it",
            "lines",
            "long polls held",
            "µs",
            curves,
        )
    )


def _poll(ids: list[str], app: FastAPI, path: str) -> dict[str, "asyncio.Task[Any]"]:
    requests = (
        (task_id, load.request(app, "GET", f"{path}/{task_id}", query="wait=true"))
        for task_id in ids
    )
    return {task_id: asyncio.create_task(request) for task_id, request in requests}


async def _memory_of(
    pollers: int, app: FastAPI, path: str, manager: TaskManager
) -> float:
    """Bytes a long poll, without those of the task that it waits for."""
    manager.submit(held.SUM)
    await asyncio.sleep(0)  # the worker has taken it, and the others stay queued
    for count in (10, pollers):  # first a few, for what is made only once
        ids = [manager.submit(held.SUM).task_id for _ in range(count)]
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        polls = _poll(ids, app, path)
        for _ in range(10):
            await asyncio.sleep(0)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        for each in bare.waiting:
            each.set_result(None)
        bare.waiting.clear()
        for task_id in ids:
            manager.cancel(task_id)
        await asyncio.gather(*polls.values())
    return used / pollers


async def _wake_each(
    bench: Bench, pollers: int, app: FastAPI, manager: TaskManager
) -> list[float]:
    manager.submit(held.SUM)
    await asyncio.sleep(0)  # the worker has taken it, and the others stay queued
    polls = _poll(
        [manager.submit(held.SUM).task_id for _ in range(pollers)], app, "/tasks"
    )
    for _ in range(10):
        await asyncio.sleep(0)
    bench.check(manager.stats()["waiting"] == pollers, "not all long polls are waiting")
    delays = []
    for task_id, poll in polls.items():
        begun = time.perf_counter()
        manager.cancel(task_id)
        status, body = await poll
        delays.append((time.perf_counter() - begun) * 1e6)
        bench.check(
            status == 200 and json.loads(body)["status"] == "cancelled",
            "a long poll's answer is wrong",
        )
    bench.check(manager.stats()["waiting"] == 0, "a long poll still waits")
    return delays


async def _held_on_sockets(bench: Bench) -> None:
    wanted = bench.pick(100, 500, 10_000)
    pollers = load.connections_allowed(wanted)
    if pollers < wanted:
        bench.left_out.append(
            f"{wanted - pollers:,} of {wanted:,} long polls on sockets: the limit of open files"
        )
    settings: dict[str, Any] = HELD | {
        "rate_limit": "off",
        "queue_size": 1_000_000,
        "max_tasks": 1_000_000,
    }
    with load.server(**settings) as port:
        bench.say(f"{pollers:,} long polls on sockets")
        control, writer = await asyncio.open_connection("127.0.0.1", port)

        async def ask(method: str, path: str, body: bytes = b"") -> dict[str, Any]:
            writer.write(load.http_request(method, path, body))
            _, answer = await load.read_response(control)
            return dict(json.loads(answer))

        polls = {}
        await ask("POST", "/tasks", load.BODY)  # the worker takes the first
        for number in range(pollers):
            task_id = (await ask("POST", "/tasks", load.BODY))["task_id"]
            reader, poll = await asyncio.open_connection("127.0.0.1", port)
            poll.write(load.http_request("GET", f"/tasks/{task_id}?wait=true"))
            polls[task_id] = reader, poll
            if number % 100 == 0:
                bench.say(f"{pollers:,} long polls on sockets, {number:,} opened")
        end = time.monotonic() + load.PATIENCE
        while (waiting := (await ask("GET", "/health"))["waiting"]) < pollers:
            bench.check(
                time.monotonic() < end,
                f"{waiting:,} of {pollers:,} long polls are waiting",
            )
            await asyncio.sleep(0.01)
        delays = []
        for task_id, (reader, poll) in polls.items():
            begun = time.perf_counter()
            answer = asyncio.ensure_future(load.read_response(reader))
            writer.write(load.http_request("DELETE", f"/tasks/{task_id}"))
            status, body = await answer
            delays.append((time.perf_counter() - begun) * 1e6)
            await load.read_response(control)
            bench.check(
                status == 200 and json.loads(body)["status"] == "cancelled",
                "a long poll's answer is wrong",
            )
            poll.close()
        writer.close()
    typical, late = percentile(delays, 50), percentile(delays, 99)
    bench.table(
        "Long polls on sockets of one uvicorn process: from sending a DELETE to the poll's response",
        ["pollers", "p50, µs", "p99, µs", "p99 / p50"],
        [(pollers, typical, late, late / typical)],
    )
