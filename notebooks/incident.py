"""The incident: a day that goes wrong, to be played again.

Rules: the day is the same each time, but for what is changed: it has a
clock of its own, which begins at midnight, and all chance is seeded. An
hour lasts a minute. Nothing of the engine is replaced: a fault cancels
the loop of one worker.
"""

import asyncio
import contextlib
import math
import random
import time
import uuid
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import httpx
from fastapi import FastAPI

from notebooks import lab
from notebooks.patience import run_in_thread
from taskmanager import Settings
from taskmanager.api import create_app
from taskmanager.testing import DAY, EPOCH, VirtualLoop, client_of, clocks_of, running

HOUR = 60.0  # virtual seconds
HOURS = 24

# What the service was run with, and how its clients tried again.
BEFORE: dict[str, Any] = {
    "workers": 4,
    "queue_size": 1000,
    "rate_limit": None,
    "task_timeout": 60.0,
    "wait_timeout": 17.0,
    "jitter": False,
}
CHANGES = 3
ENOUGH = 80  # points
# Tasks that the machine can process at their full speed.
CORES = 6

# Those who use it every day: each has 2.5 or 4 orders an hour.
ORDINARY = {
    "10.0.0.11": 2.5,
    "10.0.0.12": 2.5,
    "10.0.0.13": 2.5,
    "10.0.0.14": 4.0,
}
REPORT = {
    "task_type": "generate_report",
    "parameters": {"title": "Order", "sections": 5},
}
PATIENCE = 30.0  # seconds that a client waits for a task
DEADLINE = 90.0  # seconds after which an order is worth nothing
AGAIN = 2.0  # seconds after which a client tries again

# Seconds: a p99 of QUICK has all the points, and one of SLOW none.
QUICK = 20.0
SLOW = 40.0

FLOODER = "10.0.0.66"
FLOOD = (7.0, 11.0)  # hours
FLOOD_PAUSE = 0.25  # seconds
SUM = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}

VICTIM = "worker-2"
FAULT = (15.0, 17.0)  # hours
FAULT_PAUSE = 7.3  # seconds


@dataclass(frozen=True)
class Order:
    """What a client wants once, however often it has to ask for it.

    It came at ``hour``. ``seconds`` is how long it took, or None where
    the result came too late.
    """

    hour: float
    client: str
    seconds: float | None


@dataclass
class Day:
    """What can be known of a day."""

    log: list[dict[str, Any]] = field(default_factory=list)
    access: list[dict[str, Any]] = field(default_factory=list)
    health: list[dict[str, Any]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)


def play(**changes: Any) -> Day:
    """The day, with some of BEFORE changed."""
    return _played(changes) if changes else deepcopy(as_it_was())


@cache
def as_it_was() -> Day:
    """The day with nothing changed: a reader gets a copy of it.

    The lesson asks for it twice, and to play it takes seconds.
    """
    return _played({})


def _played(changes: dict[str, Any]) -> Day:
    loop = VirtualLoop()
    with contextlib.closing(loop), clocks_of(loop):
        return run_in_thread(loop, _day(BEFORE | changes), DAY)


async def _day(chosen: dict[str, Any]) -> Day:
    chosen = dict(chosen)
    jitter = chosen.pop("jitter")
    crowding = max(1.0, chosen["workers"] / CORES)
    settings = Settings(work_scale=crowding, **chosen)
    chance = random.Random(16)

    def new_task_id() -> str:
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))

    app = create_app(settings, new_task_id=new_task_id)
    day = Day()
    happens = [
        _ordinary(_Client(app, address, day, jitter, number), rate)
        for number, (address, rate) in enumerate(ORDINARY.items())
    ]
    happens += [_flood(_Client(app, FLOODER, day, jitter, 9)), _fault()]
    with contextlib.closing(lab.Log()) as log:
        async with running(app):
            watch = asyncio.create_task(_watch(app, day))
            await asyncio.gather(*happens)
            watch.cancel()

    day.log = [{"hour": _hour_of(line), **line} for line in log.lines]
    return day


def _hour() -> float:
    return round(time.monotonic() / HOUR, 3)


def _hour_of(line: dict[str, Any]) -> float:
    moment = datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%f%z")
    return round((moment.timestamp() - EPOCH) / HOUR, 3)


async def _fault() -> None:
    """While it lasts, one worker dies again and again."""
    begins, ends = FAULT
    await asyncio.sleep(begins * HOUR)
    while time.monotonic() < ends * HOUR:
        for loop in asyncio.all_tasks():
            if loop.get_name() == VICTIM:
                loop.cancel()
        await asyncio.sleep(FAULT_PAUSE)


async def _watch(app: FastAPI, day: Day) -> None:
    """Ask for /health every five seconds."""
    client = client_of(app, "10.0.0.1")
    while True:
        answer = await client.get("/health")
        day.health.append({"hour": _hour(), **answer.json()})
        await asyncio.sleep(5)


class _Client:
    """A client at an address, whose requests are noted."""

    def __init__(
        self, app: FastAPI, address: str, day: Day, jitter: bool, seed: int
    ) -> None:
        self.address = address
        self.day = day
        self.jitter = jitter
        self.chance = random.Random(seed)
        # What happens does not depend on how often a client has to try.
        self.pauses = random.Random(seed)
        self._http = client_of(app, address)

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        came = _hour()
        answer = await self._http.request(method, path, json=body)
        location = answer.headers.get("location", path.partition("?")[0])
        self.day.access.append(
            {
                "hour": came,
                "client": self.address,
                "method": method,
                "path": location,
                "status": answer.status_code,
            }
        )
        return answer

    async def rest(self, answer: httpx.Response) -> None:
        """Pause before the next attempt."""
        pause = AGAIN
        if self.jitter:
            told = int(answer.headers.get("retry-after", "1"))
            pause = min(told, 10) + self.pauses.uniform(0, 10)
        await asyncio.sleep(pause)


async def _ordinary(client: _Client, rate: float) -> None:
    """A client with orders at random moments, until the day is over."""
    orders = []
    while True:
        await asyncio.sleep(client.chance.expovariate(rate / HOUR))
        if time.monotonic() > HOURS * HOUR - DEADLINE:
            break
        orders.append(asyncio.create_task(_order(client)))
    await asyncio.gather(*orders)


async def _order(client: _Client) -> None:
    came = _hour()
    begun = time.monotonic()
    completed = False
    while not completed and time.monotonic() < begun + DEADLINE:
        answer = await client.ask("POST", "/tasks", REPORT)
        if answer.status_code == 202:
            completed = await _finished(client, answer)
        else:
            await client.rest(answer)

    seconds = None
    if completed and time.monotonic() <= begun + DEADLINE:
        seconds = time.monotonic() - begun
    client.day.orders.append(Order(came, client.address, seconds))


async def _finished(client: _Client, answer: httpx.Response) -> bool:
    """Poll a task as long as patience lasts; whether it completed."""
    gives_up = time.monotonic() + PATIENCE
    path = answer.headers["location"]
    task = answer.json()
    while task["finished_at"] is None and time.monotonic() < gives_up:
        answer = await client.ask("GET", f"{path}?wait=true&since={task['version']}")
        if answer.status_code == 200:
            task = answer.json()
        else:
            await client.rest(answer)
    return bool(task["status"] == "completed")


async def _flood(client: _Client) -> None:
    """A script that submits, and waits for nothing."""
    begins, ends = FLOOD
    await asyncio.sleep(begins * HOUR)
    while time.monotonic() < ends * HOUR:
        await client.ask("POST", "/tasks", SUM)
        await asyncio.sleep(client.chance.uniform(0, 2 * FLOOD_PAUSE))


# What a day was worth


@dataclass(frozen=True)
class Score:
    """What the ordinary clients had of a day.

    ``goodput`` is the share of their orders that came in time. ``p99``
    is within what 99 of 100 orders were done; what never came counts as
    DEADLINE. ``fairness`` is that share of the client with the lowest,
    divided by that of the one with the highest.
    """

    goodput: float
    p99: float
    fairness: float

    @property
    def points(self) -> int:
        """Of a hundred: 40 for goodput, 40 for p99, 20 for fairness."""
        quick = (SLOW - self.p99) / (SLOW - QUICK)
        quick = min(1.0, max(0.0, quick))
        return round(40 * self.goodput + 40 * quick + 20 * self.fairness)


def score(day: Day) -> Score:
    """What the day was worth to the ordinary clients."""
    times = sorted(order.seconds or DEADLINE for order in day.orders)
    rank = math.ceil(0.99 * len(times))

    shares = []
    for client in ORDINARY:
        theirs = [order for order in day.orders if order.client == client]
        good = [order for order in theirs if order.seconds is not None]
        shares.append(len(good) / len(theirs))

    good = [order for order in day.orders if order.seconds is not None]
    return Score(
        goodput=len(good) / len(day.orders),
        p99=times[rank - 1],
        fairness=min(shares) / max(max(shares), 0.01),
    )
