"""Shortcuts: what each would save, beside the plain version of it.

Each version is timed alone, as it stands here, whichever of the two the
engine has. What a shortcut saves is shown as a share of a whole
request: POST /tasks into the application, until its task has been
dispatched and is done. In-process, that is the largest share it can
have: over loopback, a request takes several times as long.
"""

import asyncio
import bisect
import functools
import inspect
import json
import logging
import os
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

from fastapi import FastAPI

from benchmarks import load
from benchmarks.harness import Bench, Figure
from taskmanager import Settings

# A waiting line is as long as the default queue.
QUEUE_SIZE = 100
Version: TypeAlias = Callable[[], object]
logger = logging.getLogger("benchmarks.shortcuts")


class Shortcut(NamedTuple):
    """Two versions of a step, and how often a task takes it."""

    plain: Version
    short: Version
    times: int


# An id


def plain_id() -> str:
    return str(uuid.uuid4())


def short_id() -> str:
    digits = os.urandom(15).hex()
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:]}"
    )


# A timestamp


def plain_timestamp() -> str:
    moment = datetime.fromtimestamp(time.time(), timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def short_timestamp() -> str:
    return _of_millisecond(int(time.time() * 1000))


# Under load, most share their millisecond with the one before.
@functools.lru_cache(maxsize=1)
def _of_millisecond(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# A log line that nobody wants


def plain_log_line() -> None:
    fields = {
        "task_id": "0",
        "task_type": "compute_sum",
        "from": "queued",
        "to": "processing",
        "seconds": round(time.monotonic() - 1.0, 3),
    }
    logger.info("task %(task_id)s: %(from)s -> %(to)s", fields)


def short_log_line() -> None:
    if logger.isEnabledFor(logging.INFO):
        plain_log_line()


# A log line that somebody wants

FIELDS = {
    "time": "2026-01-01T00:00:00.000Z",
    "level": "info",
    "message": "task 0: queued -> processing",
    "seconds": 0.001,
}
ENCODER = json.JSONEncoder(default=str)


def plain_json() -> str:
    return json.dumps(FIELDS, default=str)


def short_json() -> str:
    return ENCODER.encode(FIELDS)


# An Event for a change that nobody waits for


def plain_event() -> None:
    asyncio.Event().set()


def short_event() -> None:
    event: asyncio.Event | None = None
    if event is not None:
        event.set()


# A timeout


def _timeouts() -> Shortcut:
    """A timer for each; or a note, for one loop that looks at all."""
    loop = asyncio.get_running_loop()
    ends: dict[str, float] = {}

    def nothing() -> None:
        pass

    def a_timer() -> None:
        timer = loop.call_later(60.0, nothing)
        timer.cancel()

    def a_note() -> None:
        ends["task"] = loop.time() + 60.0
        del ends["task"]

    return Shortcut(a_timer, a_note, times=1)


# A place in the queue


def _places() -> Shortcut:
    """By bisection, or behind all where that is the place."""
    place = attrgetter("place")
    tasks: list[Any] = [SimpleNamespace(place=(0.0, n)) for n in range(QUEUE_SIZE)]
    last = SimpleNamespace(place=(0.0, QUEUE_SIZE))

    def by_bisection() -> None:
        bisect.insort(tasks, last, key=place)
        tasks.pop()

    def behind_all() -> None:
        if tasks[-1].place < last.place:
            tasks.append(last)
        tasks.pop()

    return Shortcut(by_bisection, behind_all, times=1)


# The end of a task that takes no time


async def _by_an_event() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().call_soon(ended.set)
    await ended.wait()


async def _by_the_next_turn() -> None:
    ended: list[None] = []
    asyncio.get_running_loop().call_soon(ended.append, None)
    await asyncio.sleep(0)
    assert ended


# The way to a route


async def _ways(bench: Bench, short: FastAPI, plain: FastAPI) -> Shortcut:
    """GET, past all of the application's layers; or not."""
    (middleware,) = plain.user_middleware
    # With telemetry it calls no routes; FastAPI was made without.
    middleware.kwargs["settings"] = Settings(rate_limit=None, telemetry="on")
    get_plain = await _getting(bench, plain)
    get_short = await _getting(bench, short)
    return Shortcut(get_plain, get_short, times=1)


async def _getting(bench: Bench, app: FastAPI) -> Version:
    status, body = await load.request(app, "POST", "/tasks", body=load.BODY)
    bench.check(status == 202, "a submission was not accepted")
    path = f"/tasks/{json.loads(body)['task_id']}"

    async def get() -> None:
        status, _ = await load.request(app, "GET", path)
        bench.check(status == 200, "a task was not shown")

    return get


async def run(bench: Bench) -> None:
    async with (
        load.running(rate_limit=None) as (short, _),
        load.running(rate_limit=None) as (plain, _),
    ):
        await _compare(bench, await _ways(bench, short, plain))


async def _compare(bench: Bench, ways: Shortcut) -> None:
    shortcuts = {
        "an id without uuid.uuid4()": Shortcut(plain_id, short_id, times=1),
        "a timestamp kept for its millisecond": Shortcut(
            plain_timestamp, short_timestamp, times=3
        ),
        "no fields for a log line that nobody wants": Shortcut(
            plain_log_line, short_log_line, times=2
        ),
        "one encoder for all lines of the log": Shortcut(
            plain_json, short_json, times=3
        ),
        "no Event where nobody waits": Shortcut(plain_event, short_event, times=2),
        "one loop for the timeouts of all": _timeouts(),
        "no bisection for who comes behind all": _places(),
        "a look in the next turn, before an Event is waited for": Shortcut(
            _by_an_event, _by_the_next_turn, times=1
        ),
        "a route that the middleware calls, to GET a task": ways,
    }
    samples = {"a request": functools.partial(_request, bench)}
    for name, shortcut in shortcuts.items():
        samples[f"{name}: plain"] = functools.partial(_alone, bench, shortcut.plain)
        samples[f"{name}: short"] = functools.partial(_alone, bench, shortcut.short)
    figures = await bench.measure("a step, and a whole request, µs", samples)

    request = figures["a request"]
    rows: list[tuple[object, ...]] = []
    for name, shortcut in shortcuts.items():
        plain = figures[f"{name}: plain"]
        short = figures[f"{name}: short"]
        share = shortcut.times * _saved(plain, short) / request.median
        row = (
            name,
            plain.median,
            short.median,
            shortcut.times,
            f"{share:.1%}",
        )
        rows.append(row)
    header = [
        "",
        "plain, µs",
        "short, µs",
        "times a task",
        "saves of a request",
    ]
    bench.table(
        "Steps of a task, each beside a shortcut; a request is POST /tasks in-process, "
        "and the dispatch of its task",
        header,
        rows,
    )
    bench.table("Such a request", ["", "median, µs"], [("all", request.median)])


def _saved(plain: Figure, short: Figure) -> float:
    return plain.median - short.median


async def _alone(bench: Bench, version: Version) -> float:
    repeats = bench.pick(100, 20_000)
    begun = time.perf_counter()
    if inspect.iscoroutinefunction(version):
        for _ in range(repeats):
            await version()
    else:
        for _ in range(repeats):
            version()
    return (time.perf_counter() - begun) / repeats * 1e6


async def _request(bench: Bench) -> float:
    requests = bench.pick(20, 250)
    addresses = load.addresses()
    async with load.running() as (app, manager):
        begun = time.perf_counter()
        for _ in range(requests):
            status, _ = await load.request(
                app, "POST", "/tasks", body=load.BODY, client=next(addresses)
            )
            bench.check(status == 202, "a submission was not accepted")
        await load.until_idle(manager)
        return (time.perf_counter() - begun) / requests * 1e6
