"""List: GET /tasks, streamed, against one JSONResponse of it all.

The application is called directly. The first byte is that of the first
record, the whole is over with the last body message. Memory is what a
request needs at its peak beyond what was held before it, in a pass of
its own that keeps nothing of the body, since tracing makes everything
slower.

What lists of the largest records hold up is seen over loopback: how
long GET /health takes while they are read.
"""

import asyncio
import contextlib
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from benchmarks import held, load
from benchmarks.harness import (
    Bench,
    Chart,
    CheckFailedError,
    Figure,
    parts_of,
    percentile,
    watch_stalls,
)
from taskmanager.manager import TaskManager

ARRAY = "taskmanager, JSON array"
NDJSON = "taskmanager, NDJSON"
WHOLE = "JSONResponse"
WAYS = (ARRAY, NDJSON, WHOLE)
# What the targets call the ways that stream.
STREAMS = {ARRAY: "JSON array", NDJSON: "NDJSON"}
# A sample of the time to the first byte is the median of so many, or
# one where that is the whole list.
REQUESTS = 20
FEW = 100
# As large as a submission may be: 234 kB each, in numbers that take
# long to write.
LARGEST = json.dumps(
    {
        "task_type": "compute_sum",
        "parameters": {"numbers": [10**24 + number for number in range(9000)]},
    }
).encode()
ENCODING = "the encoding of one record"


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
    """Ask for the list, and give each part of the body to ``keep``.

    Hangs up after the first record if told to.
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
        if to_receive:
            return to_receive.pop()
        return await asyncio.shield(gone)

    async def send(message: Message) -> None:
        reading.status = message.get("status", reading.status)
        body = message.get("body", b"")
        if not body:
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
    """The reference: the same records in one list, encoded at once."""
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
        self.bench = bench
        self.way = way
        self.app = app
        self.ids = ids
        self.addresses = addresses
        # Of the whole body, once it is checked.
        self.size = 0

    async def read(
        self, keep: Callable[[bytes], object] = len, hang_up: bool = False
    ) -> Reading:
        client = next(self.addresses)
        reading = await read(self.app, client, self.way == NDJSON, keep, hang_up)
        self.bench.check(
            reading.status == 200, f"{self.way}: answered {reading.status}"
        )
        return reading

    async def check(self) -> None:
        """Read the body itself.

        It is well-formed, and has all records, in the order submitted.
        """
        parts: list[bytes] = []
        reading = await self.read(parts.append)
        self.size = reading.size

        body = b"".join(parts)
        if self.way == NDJSON:
            # No record has a newline in it.
            records = [json.loads(line) for line in body.splitlines()]
        else:
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
        """µs until the first record is there; then it hangs up."""
        all_first = self.way == WHOLE and len(self.ids) > FEW
        requests = 1 if all_first else REQUESTS
        readings = [await self.read(hang_up=True) for _ in range(requests)]
        return statistics.median(reading.first for reading in readings) * 1e6

    async def stall(self) -> tuple[float, float]:
        """The longest one, and the time until the whole list was there.

        Both are in ms.
        """
        async with watch_stalls() as stalls:
            # Let the ticker tick.
            await asyncio.sleep(0.002)
            reading = await self.whole()
        return stalls.longest, reading.total * 1e3

    async def peak(self) -> int:
        """Bytes at the peak, beyond those before it."""
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await self.whole()
            _, peak = tracemalloc.get_traced_memory()
            return peak - before
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
            apps: dict[str, ASGIApp] = {
                ARRAY: app,
                NDJSON: app,
                WHOLE: whole_list(manager, ids),
            }
            for way, its_app in apps.items():
                contestant = Contestant(bench, way, its_app, ids, addresses)
                contestants[f"{way}, {size:,}"] = contestant

        stack.enter_context(held.frozen())
        await _compare(bench, sizes, contestants)

    await _ask_meanwhile(bench)


async def _compare(
    bench: Bench, sizes: list[int], contestants: dict[str, Contestant]
) -> None:
    for name, contestant in contestants.items():
        bench.say(f"{name}, checked")
        await contestant.check()

    first_bytes = {name: each.first_byte for name, each in contestants.items()}
    firsts = await bench.measure("first byte, µs", first_bytes, bench.pick(1, 3, 15))
    wholes = {name: each.stall for name, each in contestants.items()}
    turns = await bench.take_turns(
        "longest stall and total, ms", wholes, bench.pick(1, 3, 9)
    )
    stalls, totals = parts_of(turns)
    peaks = {}
    for name, contestant in contestants.items():
        bench.say(f"{name}, memory traced")
        peaks[name] = await contestant.peak() / 1024

    header = [
        "",
        "first byte, µs",
        "total, ms",
        "longest stall, ms",
        "peak memory, KiB",
    ]
    rows = [
        (
            name,
            firsts[name].median,
            totals[name].median,
            stalls[name].median,
            peaks[name],
        )
        for name in contestants
    ]
    bench.table("GET /tasks of all tasks held", header, rows)
    _set_targets(bench, sizes, firsts, stalls, peaks)
    bench.notes.append(
        "What is held is out of the garbage collector's reach here, to the advantage "
        "of JSONResponse, whose many new objects would start full passes; the pages of "
        "the stream do not. Stalls are without the collector's pauses."
    )
    medians = {name: figure.median for name, figure in firsts.items()}
    _draw(bench, sizes, "first byte", "µs", medians)
    _draw(bench, sizes, "peak memory", "KiB", peaks)


def _set_targets(
    bench: Bench,
    sizes: list[int],
    firsts: dict[str, Figure],
    stalls: dict[str, Figure],
    peaks: dict[str, float],
) -> None:
    few, some, many = (f"{size:,}" for size in sizes)
    for way, form in STREAMS.items():
        largest = f"{way}, {many}"
        bench.target(
            f"{form}: first byte of {many} tasks, times that of {few}",
            firsts[largest].times(firsts[f"{way}, {few}"]),
            at_most=1.5,
        )
        bench.target(
            f"{form}: longest stall while {many} are listed, ms",
            stalls[largest].median,
            at_most=5,
        )
        bench.target(
            f"{form}: peak memory for {many}, times that for {some}",
            peaks[largest] / peaks[f"{way}, {some}"],
            at_most=1.5,
        )


def _draw(
    bench: Bench, sizes: list[int], what: str, unit: str, values: dict[str, float]
) -> None:
    chart = Chart(
        name=f"list-{what.replace(' ', '-')}",
        title=f"GET /tasks: {what}",
        kind="lines",
        x_label="tasks held",
        y_label=f"{what}, {unit}",
        series={
            way: [(size, values[f"{way}, {size:,}"]) for size in sizes] for way in WAYS
        },
        log_y=True,
    )
    bench.charts.append(chart)


async def _ask_meanwhile(bench: Bench) -> None:
    """GET /health while lists of the largest records are read."""
    records = bench.pick(4, 260)
    lists = bench.pick([1, 2], [1, 8, 50])
    title = (
        f"GET /health over loopback, while lists of {records} of the largest records "
        "are read"
    )
    with load.server(rate_limit="off", work_scale=0) as port:
        bench.say(f"{records} of the largest tasks are completed, to be listed")
        for _ in range(records):
            load.fetch(port, "POST", "/tasks", LARGEST)
            load.until_done(port)

        async with load.running() as (_, manager):
            task = manager.submit(json.loads(LARGEST))
            await load.until_idle(manager)

            async def encode() -> tuple[float, float]:
                times = []
                for _ in range(REQUESTS):
                    begun = time.perf_counter()
                    to_json(manager.describe(task))
                    times.append((time.perf_counter() - begun) * 1e3)
                median = statistics.median(times)
                return median, median

            samples = {ENCODING: encode}
            for count in lists:
                sample = partial(_health_latency, bench, port, count)
                samples[f"GET /health, lists: {count}"] = sample
            turns = await bench.take_turns(f"{title}: p50, p99, ms", samples)

    p50, p99 = parts_of(turns)
    header = [
        "",
        "p50, ms",
        "p99, ms",
        f"p99, ratio to {ENCODING}",
        "its quartiles",
    ]
    rows = [
        (
            name,
            p50[name].median,
            figure.median,
            figure.ratio,
            figure.spread,
        )
        for name, figure in p99.items()
    ]
    bench.table(title, header, rows)
    for count in lists[1:]:
        bench.target(
            f"p99 of GET /health while {count} lists of the largest records are read, "
            "times the encoding of one",
            p99[f"GET /health, lists: {count}"].ratio,
            at_most=3,
        )


async def _health_latency(bench: Bench, port: int, lists: int) -> tuple[float, float]:
    """The latency while so many lists are read: p50 and p99, in ms."""
    readers = [asyncio.create_task(_keep_listing(port)) for _ in range(lists)]
    # Let them begin.
    await asyncio.sleep(bench.pick(0.01, 0.2))
    try:
        _, latencies = await load.hammer(
            port,
            load.http_request("GET", "/health"),
            connections=2,
            seconds=bench.pick(0.05, 1.0),
        )
    finally:
        for reader in readers:
            reader.cancel()
        ends = await asyncio.gather(*readers, return_exceptions=True)

    bench.check(
        all(isinstance(end, asyncio.CancelledError) for end in ends),
        f"a list was not read: {ends}",
    )
    return statistics.median(latencies), percentile(latencies, 99)


async def _keep_listing(port: int) -> None:
    """Read the list again and again, and keep nothing of it."""
    message = load.http_request("GET", "/tasks")
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer):
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise CheckFailedError(f"GET /tasks was answered {head!r}")

            # A body in chunks: the last one is empty.
            end = b"\r\n0\r\n\r\n"
            last = b""
            while not last.endswith(end):
                part = await reader.read(2**18)
                if not part:
                    raise CheckFailedError("GET /tasks was cut off")
                last = last[-len(end) :] + part
