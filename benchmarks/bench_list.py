"""List: GET /tasks, streamed, against one JSONResponse of the whole
list.

The application is called directly. The first byte is that of the first
record, the whole is over with the last body message. Memory is what a
request needs at its peak beyond what was held before it, in a pass of
its own that keeps nothing of the body, since tracing makes everything
slower.
"""

import asyncio
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from benchmarks import held, load
from benchmarks.harness import Bench, Chart, parts_of, watch_stalls
from taskmanager.manager import TaskManager

ARRAY, NDJSON, WHOLE = "taskmanager, JSON array", "taskmanager, NDJSON", "JSONResponse"
# a sample of the time to the first byte is the median of so many, or
# one where that is the whole list
REQUESTS = 20


@dataclass
class Reading:
    """One GET /tasks as its client sees it, times in seconds."""

    status: int = 0
    first: float = 0.0
    total: float = 0.0
    size: int = 0


async def read(
    app: ASGIApp,
    client: str,
    ndjson: bool = False,
    keep: Callable[[bytes], object] = len,
    hang_up: bool = False,
) -> Reading:
    """Ask for the list, give each part of the body to ``keep``, and
    hang up after the first record if told to.
    """
    reading = Reading()
    gone: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    to_receive: list[Message] = [
        {"type": "http.request", "body": b"", "more_body": False}
    ]
    scope = load.scope_of("GET", "/tasks", client)
    if ndjson:
        scope["headers"].append((b"accept", b"application/x-ndjson"))

    async def receive() -> Message:
        return to_receive.pop() if to_receive else await asyncio.shield(gone)

    async def send(message: Message) -> None:
        reading.status = message.get("status", reading.status)
        if not (body := message.get("body", b"")):
            return
        if not reading.first and b"{" in body[:2]:
            reading.first = time.perf_counter() - begun
            if hang_up:
                gone.set_result({"type": "http.disconnect"})
                await asyncio.sleep(0)
        reading.size += len(body)
        keep(body)

    begun = time.perf_counter()
    await app(scope, receive, send)
    reading.total = time.perf_counter() - begun
    return reading


def whole_list(manager: TaskManager, ids: list[str]) -> Starlette:
    """The reference: the same records in one list, encoded in one go."""
    tasks = [manager.get(each) for each in ids]

    async def list_tasks(request: Request) -> JSONResponse:
        return JSONResponse([manager.describe(task) for task in tasks])

    return Starlette(routes=[Route("/tasks", list_tasks)])


class Contestant:
    """One way to answer, with so many tasks held."""

    def __init__(
        self,
        bench: Bench,
        way: str,
        app: ASGIApp,
        ids: list[str],
        addresses: Iterator[str],
    ) -> None:
        self.bench, self.way, self.app, self.ids, self.addresses = (
            bench,
            way,
            app,
            ids,
            addresses,
        )
        self.size = 0

    async def read(
        self, keep: Callable[[bytes], object] = len, hang_up: bool = False
    ) -> Reading:
        reading = await read(
            self.app, next(self.addresses), self.way == NDJSON, keep, hang_up
        )
        self.bench.check(
            reading.status == 200, f"{self.way}: answered {reading.status}"
        )
        return reading

    async def check(self) -> None:
        """Read the body itself: well-formed, all records, in the order
        submitted.
        """
        parts: list[bytes] = []
        self.size = (await self.read(parts.append)).size
        body = b"".join(parts)
        if self.way == NDJSON:
            # no record has a newline in it
            body = b"[" + body.replace(b"\n", b",").removesuffix(b",") + b"]"
        records = json.loads(body)
        self.bench.check(
            [record["task_id"] for record in records] == self.ids,
            f"{self.way}: not all, or not in order",
        )
        self.bench.check(
            all(record["result"] == load.RESULT for record in records),
            f"{self.way}: a wrong result",
        )

    async def whole(self) -> Reading:
        reading = await self.read()
        self.bench.check(
            reading.size == self.size,
            f"{self.way}: {reading.size} bytes instead of {self.size}",
        )
        return reading

    async def first_byte(self) -> float:
        """µs until the first record is there; then the client hangs up."""
        requests = 1 if self.way == WHOLE and len(self.ids) > 100 else REQUESTS
        return (
            statistics.median(
                [(await self.read(hang_up=True)).first for _ in range(requests)]
            )
            * 1e6
        )

    async def stall(self) -> tuple[float, float]:
        """The longest one, and the time until the whole list was there,
        in ms.
        """
        async with watch_stalls() as stalls:
            await asyncio.sleep(0.002)  # the ticker ticks
            reading = await self.whole()
        return stalls.longest, reading.total * 1e3

    async def peak(self) -> int:
        """Bytes."""
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            await self.whole()
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()


async def run(bench: Bench) -> None:
    sizes = bench.pick([100, 300, 600], [100, 10_000, 100_000])
    async with AsyncExitStack() as stack:
        contestants: dict[str, Contestant] = {}
        addresses = load.addresses()
        stack.enter_context(held.instant_work())
        for size in sizes:
            bench.say(f"{size:,} tasks are completed, to be listed")
            app, manager = await stack.enter_async_context(load.running())
            ids = await held.fill(manager, size)
            for way, its_app in {
                ARRAY: app,
                NDJSON: app,
                WHOLE: whole_list(manager, ids),
            }.items():
                contestants[f"{way}, {size:,}"] = Contestant(
                    bench, way, its_app, ids, addresses
                )
        stack.enter_context(held.frozen())
        await _compare(bench, sizes, contestants)


async def _compare(
    bench: Bench, sizes: list[int], contestants: dict[str, Contestant]
) -> None:
    for name, contestant in contestants.items():
        bench.say(f"{name}, checked")
        await contestant.check()
    first_bytes = {name: each.first_byte for name, each in contestants.items()}
    firsts = await bench.measure("first byte, µs", first_bytes, bench.pick(1, 3, 15))
    wholes = {name: each.stall for name, each in contestants.items()}
    stalls, totals = parts_of(
        await bench.take_turns(
            "longest stall and total, ms", wholes, bench.pick(1, 3, 9)
        )
    )
    peaks = {}
    for name, contestant in contestants.items():
        bench.say(f"{name}, memory traced")
        peaks[name] = await contestant.peak() / 1024
    bench.table(
        "GET /tasks of all tasks held",
        ["", "first byte, µs", "total, ms", "longest stall, ms", "peak memory, KiB"],
        [
            (
                name,
                firsts[name].median,
                totals[name].median,
                stalls[name].median,
                peaks[name],
            )
            for name in contestants
        ],
    )
    few, some, many = (f"{size:,}" for size in (sizes[0], sizes[-2], sizes[-1]))
    for way in (ARRAY, NDJSON):
        form, largest = way.partition(", ")[2], f"{way}, {many}"
        ratio = firsts[largest].times(firsts[f"{way}, {few}"])
        growth = peaks[largest] / peaks[f"{way}, {some}"]
        bench.target(
            f"{form}: first byte of {many} tasks, times that of {few}",
            ratio,
            at_most=1.5,
        )
        bench.target(
            f"{form}: longest stall while {many} are listed, ms",
            stalls[largest].median,
            at_most=5,
        )
        bench.target(
            f"{form}: peak memory for {many}, times that for {some}",
            growth,
            at_most=1.5,
        )
    bench.notes.append(
        "What is held is out of the garbage collector's reach here, to the advantage of JSONResponse, whose many new "
        "objects would start full passes; the pages of the stream do not. Stalls are without the collector's pauses."
    )
    for what, unit, values in [
        ("first byte", "µs", {name: figure.median for name, figure in firsts.items()}),
        ("peak memory", "KiB", peaks),
    ]:
        series = {
            way: [(size, values[f"{way}, {size:,}"]) for size in sizes]
            for way in (ARRAY, NDJSON, WHOLE)
        }
        name = f"list-{what.replace(' ', '-')}"
        bench.charts.append(
            Chart(
                name,
                f"GET /tasks: {what}",
                "lines",
                "tasks held",
                f"{what}, {unit}",
                dict(series),
                True,
            )
        )
