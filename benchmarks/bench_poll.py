"""Poll: GET /tasks/{id} against the same on FastAPI alone; long polls.

Thousands of the latter are held at once, in-process and over real
sockets. Each waits for a task of its own, which is then cancelled: the
wake-up delay is from just before the cancellation until the response is
there.
"""

import asyncio
import contextlib
import gc
import json
import math
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from fastapi import FastAPI

from benchmarks import bare, held, load, loopback
from benchmarks.harness import PERCENTILES, Bench, Chart, Sample, percentile
from benchmarks.processes import Programs, programs
from taskmanager.manager import TaskManager

HELD: dict[str, Any] = {
    "rate_limit": None,
    "wait_timeout": 600,
    "work_scale": 1_000,
    "task_timeout": 100_000,
    "workers": 1,
}
# The same for a server, by its environment.
HELD_ON_SOCKETS: dict[str, Any] = {
    **HELD,
    "rate_limit": "off",
    "queue_size": 1_000_000,
    "max_tasks": 1_000_000,
}
Poll = asyncio.Task[tuple[int, bytes]]


async def run(bench: Bench) -> None:
    await _plain_polls(bench)
    await loopback.compare(bench, "GET")
    await _held_in_process(bench)
    await _held_on_sockets(bench)


# Plain polls


async def _finished(app: FastAPI) -> str:
    """The id of a task that has been submitted.

    By the engine, it is completed as well.
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
        bare_id = await _finished(bare.app)
        task_id = await _finished(app)
        contestants = {
            "bare FastAPI": polling(bare.app, f"/tasks/{bare_id}", "queued"),
            "taskmanager": polling(app, f"/tasks/{task_id}", "completed"),
            "bare FastAPI, without wait and since": polling(
                bare.app, f"/plainly/{bare_id}", "queued"
            ),
        }
        figures = await bench.compare(
            "GET /tasks/{task_id}, in-process",
            "µs",
            contestants,
            rounds=bench.pick(1, 11, 31),
        )
    bench.target(
        "GET in-process, times bare FastAPI with the same parameters",
        figures["taskmanager"].ratio,
        at_most=0.9,
    )


# Long polls, in-process


async def _held_in_process(bench: Bench) -> None:
    await _measure_memory(bench, bench.pick(100, 1_000, 10_000))

    rows = []
    curves: dict[str, list[tuple[Any, float]]] = {
        f"p{percent}": [] for percent in PERCENTILES
    }
    for pollers in bench.pick([100], [100, 1_000, 10_000]):
        bench.say(f"{pollers:,} long polls, in-process")
        async with load.running(**HELD) as (app, manager):
            delays = await _wake_each(bench, pollers, app, manager)
        for percent in PERCENTILES:
            curves[f"p{percent}"].append((pollers, percentile(delays, percent)))
        rows.append(_row(pollers, delays))

    bench.table(
        "Long polls held in-process, each woken by its own change",
        [
            "pollers",
            "wake-up p50, µs",
            "p99, µs",
            "p99 / p50",
        ],
        rows,
    )
    most = rows[-1]
    bench.target(
        f"{most.pollers:,} long polls: p99 of a wake-up, times its p50",
        most.ratio,
        at_most=3,
    )
    chart = Chart(
        name="long-polls",
        title="From a change to the response of the long poll that waits for it",
        kind="lines",
        x_label="long polls held",
        y_label="µs",
        series=curves,
    )
    bench.charts.append(chart)


class WakeUps(NamedTuple):
    """So many long polls, and percentiles of their delays, in µs."""

    pollers: int
    typical: float
    late: float
    ratio: float


def _row(pollers: int, delays: list[float]) -> WakeUps:
    typical = percentile(delays, 50)
    late = percentile(delays, 99)
    return WakeUps(pollers, typical, late, late / typical)


async def _measure_memory(bench: Bench, pollers: int) -> None:
    bench.say(f"memory of {pollers:,} long polls")
    async with load.running(**HELD) as (app, manager):
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


async def _memory_of(
    pollers: int, app: FastAPI, path: str, manager: TaskManager
) -> float:
    """Bytes a long poll, without those of the task it waits for."""
    await _occupy_worker(manager)
    # A few come first, for what is made only once.
    await _traced(10, app, path, manager)
    return await _traced(pollers, app, path, manager) / pollers


async def _traced(pollers: int, app: FastAPI, path: str, manager: TaskManager) -> int:
    """Bytes that so many long polls take; then they are ended."""
    ids = [manager.submit(held.SUM).task_id for _ in range(pollers)]
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    polls = await _poll(ids, app, path)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    for each in bare.waiting:
        each.set_result(None)
    bare.waiting.clear()
    for task_id in ids:
        manager.cancel(task_id)
    await asyncio.gather(*polls.values())
    return after - before


async def _occupy_worker(manager: TaskManager) -> None:
    """Let the worker take a task; the others stay queued."""
    manager.submit(held.SUM)
    await asyncio.sleep(0)


async def _poll(ids: list[str], app: FastAPI, path: str) -> dict[str, Poll]:
    """A long poll for each task; all of them wait by now."""
    polls = {}
    for task_id in ids:
        request = load.request(app, "GET", f"{path}/{task_id}", query="wait=true")
        polls[task_id] = asyncio.create_task(request)
    for _ in range(10):
        await asyncio.sleep(0)
    return polls


async def _wake_each(
    bench: Bench, pollers: int, app: FastAPI, manager: TaskManager
) -> list[float]:
    """The delay of each long poll, in µs."""
    await _occupy_worker(manager)
    ids = [manager.submit(held.SUM).task_id for _ in range(pollers)]
    polls = await _poll(ids, app, "/tasks")
    bench.check(manager.stats()["waiting"] == pollers, "not all long polls are waiting")

    delays = []
    for task_id, poll in polls.items():
        begun = time.perf_counter()
        manager.cancel(task_id)
        status, body = await poll
        delays.append((time.perf_counter() - begun) * 1e6)
        _check_cancelled(bench, status, body)
    bench.check(manager.stats()["waiting"] == 0, "a long poll still waits")
    return delays


def _check_cancelled(bench: Bench, status: int, body: bytes) -> None:
    right = status == 200 and json.loads(body)["status"] == "cancelled"
    bench.check(right, "a long poll's answer is wrong")


# Long polls, over sockets


class Control:
    """A kept connection to a server, to submit and cancel tasks."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
        self.writer.write(load.http_request(method, path, body))
        answer = await load.read_response(self.reader)
        return dict(json.loads(answer.body))

    async def until_waiting(self, bench: Bench, pollers: int) -> None:
        end = time.monotonic() + load.PATIENCE
        while True:
            health = await self.ask("GET", "/health")
            waiting = health["waiting"]
            if waiting >= pollers:
                return
            bench.check(
                time.monotonic() < end,
                f"{waiting:,} of {pollers:,} long polls are waiting",
            )
            await asyncio.sleep(0.01)

    async def wake(
        self, bench: Bench, task_id: str, reader: asyncio.StreamReader
    ) -> float:
        """Cancel a task; µs until its long poll is answered."""
        begun = time.perf_counter()
        answer = asyncio.ensure_future(load.read_response(reader))
        self.writer.write(load.http_request("DELETE", f"/tasks/{task_id}"))
        status, body = await answer
        delay = (time.perf_counter() - begun) * 1e6

        await load.read_response(self.reader)
        _check_cancelled(bench, status, body)
        return delay


async def _held_on_sockets(bench: Bench) -> None:
    wanted = bench.pick(100, 500, 10_000)
    pollers = load.connections_allowed(wanted)
    if pollers < wanted:
        bench.left_out.append(
            f"{wanted - pollers:,} of {wanted:,} long polls on sockets: the limit of "
            "open files"
        )

    title = f"{pollers:,} long polls on sockets"
    ids = [str(uuid.uuid4()) for _ in range(pollers)]
    async with _server("benchmarks.bare:app") as server:
        of_bare, polls = await server.hold(bench, f"{title}, FastAPI's", "/held", ids)
        for _, writer in polls.values():
            writer.close()

    async with _server(load.FACTORY) as server:
        # The worker takes the first.
        await server.control.ask("POST", "/tasks", load.BODY)
        ids = []
        for _ in range(pollers):
            task = await server.control.ask("POST", "/tasks", load.BODY)
            ids.append(task["task_id"])
        ours, polls = await server.hold(bench, title, "/tasks", ids)
        delays, healths = await server.wake_each(bench, polls)

    bench.table(
        f"Memory of a long poll, of {pollers:,} on sockets of one uvicorn process",
        [
            "",
            "bytes",
            "ratio to FastAPI",
        ],
        [
            ("FastAPI, a request that waits", of_bare, 1.0),
            ("taskmanager", ours, ours / of_bare),
        ],
    )
    bench.target(
        f"{title}: bytes of one, times FastAPI's of a request that waits",
        ours / of_bare,
        at_most=1.12,
    )

    woken = _row(pollers, delays)
    bench.table(
        "Long polls on sockets of one uvicorn process: from sending a DELETE to the "
        "poll's response",
        [
            "pollers",
            "p50, µs",
            "p99, µs",
            "p99 / p50",
            "meanwhile, GET /health: p99, ms",
        ],
        [(*woken, percentile(healths, 99))],
    )
    bench.target(f"{title}: p99 of a wake-up, times its p50", woken.ratio, at_most=3)
    health = percentile(healths, 99)
    if not math.isnan(health):
        bench.target(
            f"{title}: p99 of GET /health while they are woken, ms", health, at_most=10
        )


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HoldingServer(NamedTuple):
    """A server whose memory is read, and a connection to it."""

    programs: Programs
    port: int
    control: Control

    async def hold(
        self, bench: Bench, title: str, path: str, ids: list[str]
    ) -> tuple[float, dict[str, Streams]]:
        """A long poll for each id: the bytes of one, and all."""
        before = self.programs.memory().pss
        polls = {}
        for number, task_id in enumerate(ids):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(load.http_request("GET", f"{path}/{task_id}?wait=true"))
            polls[task_id] = reader, writer
            if number % 100 == 0:
                bench.say(f"{title}, {number:,} opened")
        await self.control.until_waiting(bench, len(ids))

        taken = self.programs.memory().pss - before
        return taken * 2**20 / len(ids), polls

    async def wake_each(
        self, bench: Bench, polls: dict[str, Streams]
    ) -> tuple[list[float], list[float]]:
        """The delay of each, in µs, and of /health meanwhile, in ms."""
        healths: list[float] = []
        asking = asyncio.create_task(self._ask_for_health(healths))
        delays = []
        for task_id, (reader, writer) in polls.items():
            delays.append(await self.control.wake(bench, task_id, reader))
            writer.close()

        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        return delays, healths

    async def _ask_for_health(self, healths: list[float]) -> None:
        """Ask until this is cancelled; each latency, in ms."""
        control = await _control(self.port)
        with contextlib.closing(control.writer):
            while True:
                begun = time.perf_counter()
                await control.ask("GET", "/health")
                healths.append((time.perf_counter() - begun) * 1000)
                await asyncio.sleep(0.0005)


async def _control(port: int) -> Control:
    return Control(*await asyncio.open_connection("127.0.0.1", port))


@contextlib.asynccontextmanager
async def _server(target: str) -> AsyncIterator[HoldingServer]:
    variables = load.environment(**HELD_ON_SOCKETS)
    with programs() as together:
        _, port = together.serve(target, [], variables)
        control = await _control(port)
        yield HoldingServer(together, port, control)
        control.writer.close()
