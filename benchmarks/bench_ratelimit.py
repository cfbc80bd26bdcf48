"""Rate limit: what a decision costs and takes, and how exact it is.

And what it adds to a request. The peers are driven in their fastest
exact configuration: ``limits`` with its moving window in memory, and
``pyrate-limiter`` with a bucket a client. Each contestant reads a
clock, as it would in an application; here that is a cell, so that a
minute passes when the benchmark says so.
"""

import asyncio
import gc
import importlib
import itertools
import json
import linecache
import random
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol, TypeAlias
from unittest import mock

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks import load
from benchmarks.harness import Bench, Chart, Figure, Sample, percentile
from taskmanager import Settings, TaskManager
from taskmanager.middleware import TasksMiddleware
from taskmanager.ratelimit import Decision, SlidingWindow

LIMIT = 10
WINDOW = 60  # seconds
# Between two requests, in seconds: bursts, and pauses.
PAUSES = (
    0.0,
    0.0,
    0.0,
    0.125,
    0.25,
    1.0,
)
OURS = "taskmanager"
# A client with ten hits may take so many.
BYTES = 1280
# Hits for each turn of the event loop, which a limiter's upkeep may
# need: more than any server has.
A_TURN = 100
# Seconds between two hits of a client, so that nine are in the window,
# and one leaves it as another comes.
JUST_ACCEPTED = 6.5

# A client, and the time of its request, in a limiter's own unit.
Traffic: TypeAlias = list[tuple[str, Any]]


# The contestants


class Limiter(Protocol):
    """A contestant.

    It reads the first item of ``clock``, once a hit or more, which
    costs what a real clock does.
    """

    def at(self, seconds: float) -> float:
        """The time as this limiter counts it."""

    async def drive(self, traffic: Traffic) -> int:
        """Hit for each request, in order; how many were admitted."""

    async def settle(self) -> None:
        """End what the limiter does in the background.

        It is not to be the next contestant's cost.
        """


Make: TypeAlias = Callable[[list[float]], Limiter]


class Ours:
    """The engine's own."""

    def __init__(self, clock: list[float]) -> None:
        self._limiter = SlidingWindow(LIMIT, WINDOW, max_clients=1_000_000)
        self._clock = clock

    def at(self, seconds: float) -> float:
        return seconds

    async def drive(self, traffic: Traffic) -> int:
        hit = self._limiter.hit
        clock = self._clock
        read = partial(clock.__getitem__, 0)
        admitted = 0
        for client, clock[0] in traffic:
            decision = await hit(client, read())
            if decision.allowed:
                admitted += 1
        return admitted

    async def settle(self) -> None:
        pass


class Limits:
    """``limits``, whose storage reads ``clock``.

    It does while ``_clock_of_limits`` lets it.
    """

    def __init__(
        self, clock: list[float], strategy: str = "MovingWindowRateLimiter"
    ) -> None:
        limits = importlib.import_module("limits")
        strategies = importlib.import_module("limits.strategies")
        self._storage = limits.storage.MemoryStorage()
        make = getattr(strategies, strategy)
        self._hit = make(self._storage).hit
        self._item = limits.RateLimitItemPerMinute(LIMIT)
        self._clock = clock

    def at(self, seconds: float) -> float:
        return seconds

    async def drive(self, traffic: Traffic) -> int:
        hit = self._hit
        item = self._item
        clock = self._clock
        admitted = 0
        for client, clock[0] in traffic:
            if hit(item, client):
                admitted += 1
        return admitted

    async def settle(self) -> None:
        # Its thread, which goes through all clients.
        self._storage.timer.join()


class LimitsAsync:
    """The same with its asynchronous storage."""

    def __init__(self, clock: list[float]) -> None:
        limits = importlib.import_module("limits")
        storage = importlib.import_module("limits.aio.storage")
        strategies = importlib.import_module("limits.aio.strategies")
        self._storage = storage.MemoryStorage()
        self._hit = strategies.MovingWindowRateLimiter(self._storage).hit
        self._item = limits.RateLimitItemPerMinute(LIMIT)
        self._clock = clock

    def at(self, seconds: float) -> float:
        return seconds

    async def drive(self, traffic: Traffic) -> int:
        hit = self._hit
        item = self._item
        clock = self._clock
        admitted = 0
        for client, clock[0] in traffic:
            if await hit(item, client):
                admitted += 1
        return admitted

    async def settle(self) -> None:
        # It would take a thread for each client, one after the other:
        # seconds.
        if len(self._storage.events) > 1:
            self._storage.timer.cancel()
        await asyncio.wait([self._storage.timer])


class Pyrate:
    """``pyrate-limiter``, with a bucket for each client."""

    def __init__(self, clock: list[float]) -> None:
        pyrate: Any = importlib.import_module("pyrate_limiter")
        rates = [pyrate.Rate(LIMIT, pyrate.Duration.MINUTE)]
        own_clock = [0]
        now = SimpleNamespace(now=partial(own_clock.__getitem__, 0))

        # As its documentation shows.
        class BucketOfEachClient(pyrate.BucketFactory):  # type: ignore[misc]
            def __init__(self) -> None:
                self.clock = now
                self.buckets = dict[str, Any]()
                # Its thread would disturb the others: put off, in its
                # favour.
                self.leak_interval = 3_600_000

            def wrap_item(self, name: str, weight: int = 1) -> Any:
                return pyrate.RateItem(name, self.clock.now(), weight=weight)

            def get(self, item: Any) -> Any:
                if item.name not in self.buckets:
                    bucket = self.create(pyrate.InMemoryBucket, rates)
                    bucket._clock = self.clock
                    self.buckets[item.name] = bucket
                return self.buckets[item.name]

        self._clock = own_clock
        self._acquire = pyrate.Limiter(BucketOfEachClient()).try_acquire

    def at(self, seconds: float) -> int:
        return int(seconds * 1000)

    async def drive(self, traffic: Traffic) -> int:
        acquire = self._acquire
        clock = self._clock
        admitted = 0
        for client, clock[0] in traffic:
            if acquire(client, blocking=False):
                admitted += 1
        return admitted

    async def settle(self) -> None:
        pass


@contextmanager
def _clock_of_limits(clock: list[float]) -> Iterator[None]:
    """Let ``limits`` read ``clock`` in place of ``time.time``.

    Its threads do so too.
    """
    stand_in = SimpleNamespace(time=partial(clock.__getitem__, 0))
    with (
        mock.patch("limits.storage.memory.time", stand_in),
        mock.patch("limits.aio.storage.memory.time", stand_in),
    ):
        yield


async def run(bench: Bench) -> None:
    limits = bench.peer("limits") is not None
    pyrate = bench.peer("pyrate_limiter") is not None
    slowapi = bench.peer("slowapi") is not None

    contestants: dict[str, Make] = {OURS: Ours}
    inexact: dict[str, Make] = {}
    if limits:
        contestants["limits, moving window"] = Limits
        contestants["limits, moving window, async"] = LimitsAsync
        inexact["limits, sliding window counter"] = partial(
            Limits, strategy="SlidingWindowCounterRateLimiter"
        )
        inexact["limits, fixed window (slowapi's default)"] = partial(
            Limits, strategy="FixedWindowRateLimiter"
        )
    if pyrate:
        contestants["pyrate-limiter"] = Pyrate
    bench.notes.append(
        "limits clears up beside its hits in a thread, with async storage by a thread "
        "a client: counted\nas far as it gets to run, with a turn of the event loop "
        f"after each {A_TURN} hits. pyrate-limiter's\nthread is put off, in its "
        "favour. What the garbage collector takes for 100,000 clients is not in\nthe "
        "figures of a hit."
    )

    clock = [0.0]
    patched = _clock_of_limits(clock) if limits else nullcontext()
    with patched:
        exact = await _exactness(bench, contestants | inexact, clock)
        costs = await _hits(bench, contestants, exact, clock)
        sizes = await _sizes(bench, contestants, clock)
    await _where_a_hit_goes(bench)
    _in_short(bench, exact, costs, sizes)
    await _in_an_application(bench, limits, slowapi)
    await _load_test(bench)


def _in_short(
    bench: Bench,
    exact: set[str],
    costs: dict[str, dict[str, Figure]],
    sizes: dict[str, float],
) -> None:
    header = [
        "",
        *(f"hits/s, {situation}" for situation in costs),
        "bytes a client",
        "exact",
    ]
    rows: list[tuple[object, ...]] = []
    for name, size in sizes.items():
        speeds = [round(1e6 / figures[name].median) for figures in costs.values()]
        verdict = "yes" if name in exact else "no"
        row = (
            name,
            *speeds,
            size,
            verdict,
        )
        rows.append(row)
    bench.table("In short", header, rows)


# Exactness


class Judge:
    """Counts the accepted requests of each client.

    So it knows which decisions on random traffic are wrong.
    """

    def __init__(self) -> None:
        self.accepted: dict[str, list[float]] = defaultdict(list)
        # Accepted requests of a client within any window.
        self.most = 0
        self.wrong = 0
        # The same for a window that is closed at both ends.
        self.wrong_if_closed = 0

    @property
    def off(self) -> int:
        """Wrong decisions, in the limiter's favour.

        A closed window counts one moment more than it has to, but that
        is a choice, not an error.
        """
        return min(self.wrong, self.wrong_if_closed)

    def see(self, client: str, now: float, allowed: bool) -> None:
        """A decision, in order of time."""
        times = self.accepted[client]
        in_window = sum(now - WINDOW < then for then in times)
        in_closed_one = sum(now - WINDOW <= then for then in times)
        self.wrong += allowed != (in_window < LIMIT)
        self.wrong_if_closed += allowed != (in_closed_one < LIMIT)
        if allowed:
            times.append(now)
            self.most = max(self.most, in_window + 1)


async def _exactness(
    bench: Bench, contestants: dict[str, Make], clock: list[float]
) -> set[str]:
    """Many requests at once, and random traffic judged by counting.

    Says who is exact.
    """
    at_once = bench.pick(50, 1000)
    requests = bench.pick(300, 5000, 50_000)
    exact = set()
    rows = []
    for name, make in contestants.items():
        bench.say(f"exactness of {name}")
        limiter = make(clock)
        first = [("one", limiter.at(1.0))]
        driving = [limiter.drive(first) for _ in range(at_once)]
        admitted = sum(await asyncio.gather(*driving))
        later = await limiter.drive([("one", limiter.at(1.0 + WINDOW))])

        judge = Judge()
        for client, now in _random_traffic(requests):
            allowed = await limiter.drive([(client, limiter.at(now))])
            judge.see(client, now, bool(allowed))
        await limiter.settle()

        if judge.off == 0 and admitted == LIMIT:
            exact.add(name)
        at_the_border = "accepted" if later else "refused"
        row = (
            name,
            admitted,
            judge.off,
            judge.most,
            at_the_border,
        )
        rows.append(row)
        if name == OURS:
            wrong = judge.wrong
            bench.check(
                admitted == LIMIT,
                f"{admitted} of {at_once} at once were admitted, not {LIMIT}",
            )
            bench.check(wrong == 0, f"{wrong} of {requests} decisions are wrong")
            bench.check(later == 1, "a request exactly a window later was refused")
            bench.target("decisions wrong, of random traffic", wrong, at_most=0)

    header = [
        "",
        f"admitted, {at_once} at once",
        f"wrong decisions, of {requests:,}",
        f"most in {WINDOW} s",
        f"exactly {WINDOW} s later",
    ]
    bench.table(
        f"Exactness: {LIMIT} in {WINDOW} s, judged by counting each client's accepted "
        "requests",
        header,
        rows,
    )
    return exact


def _random_traffic(requests: int) -> Iterator[tuple[str, float]]:
    """Bursts and pauses of 8 clients, in eighths of a second.

    That is exact in binary, so borders are met to the dot.
    """
    rng = random.Random(7)
    now = 1000.0
    for _ in range(requests):
        if rng.random() < 0.005:
            now += 45.0
        else:
            now += rng.choice(PAUSES)
        yield f"client {rng.randrange(8)}", now


# The cost of a hit


class Situation(NamedTuple):
    """Who hits a limiter, and how often."""

    clients: int
    # In a sample.
    hits: int
    # Seconds between two hits.
    step: float
    # The target: times the hits/s of the fastest exact peer.
    at_least: float

    @property
    def accepted(self) -> bool:
        """Whether all hits are; without a step, none is."""
        return self.step > 0

    @property
    def title(self) -> str:
        kind = "accepted" if self.accepted else "refused"
        if self.clients > 1:
            return f"A hit, {kind}, random of {self.clients:,} clients"
        return f"A hit, {kind}, always the same client"


async def _hits(
    bench: Bench, contestants: dict[str, Make], exact: set[str], clock: list[float]
) -> dict[str, dict[str, Figure]]:
    """What a hit takes, in µs, by situation and contestant."""
    few = bench.pick(200, 2000)
    hits = bench.pick(200, 10_000)
    many = bench.pick(500, 100_000)
    situations = {
        "1 client, accepted": Situation(1, few, JUST_ACCEPTED, 2.5),
        "1 client, refused": Situation(1, few, 0.0, 2.0),
        # About as many hits a minute as clients. Those of a sample are
        # all different, and a minute has nine samples at most, so
        # nobody comes to more than ten hits.
        f"{many:,} clients": Situation(many, hits, 70 / many, 1.6),
    }
    costs = {}
    for name, situation in situations.items():
        costs[name] = await _hits_of(bench, contestants, situation, clock)

    for name, figures in costs.items():
        peers = exact - {OURS}
        ratios = [figure.ratio for peer, figure in figures.items() if peer in peers]
        if ratios:
            bench.target(
                f"{name}: times the hits/s of the fastest exact peer",
                min(ratios),
                at_least=situations[name].at_least,
            )

    bars: dict[str, list[tuple[Any, float]]] = {}
    for name, figures in costs.items():
        bars[name] = [(peer, figure.median) for peer, figure in figures.items()]
    chart = Chart(
        name="ratelimit-hits",
        title="A decision of a rate limiter",
        kind="bars",
        x_label="µs a hit",
        y_label="",
        series=bars,
    )
    bench.charts.append(chart)
    return costs


async def _hits_of(
    bench: Bench,
    contestants: dict[str, Make],
    situation: Situation,
    clock: list[float],
) -> dict[str, Figure]:
    samples = {}
    for name, make in contestants.items():
        bench.say(f"{situation.clients:,} clients for {name}")
        hitting = Hitting(bench, situation, make(clock))
        await hitting.begin()
        samples[name] = hitting.sample

    # Else most of the time goes into collecting, between the samples,
    # what is no garbage.
    gc.collect()
    gc.freeze()
    try:
        return await bench.compare(
            situation.title, "µs", samples, rounds=bench.pick(1, 4, 15)
        )
    finally:
        gc.unfreeze()


class Hitting:
    """A limiter in a situation."""

    def __init__(self, bench: Bench, situation: Situation, limiter: Limiter) -> None:
        self.bench = bench
        self.situation = situation
        self.limiter = limiter
        self.addresses = [load.address(number) for number in range(situation.clients)]
        self.ticks = itertools.count()
        self.random = random.Random(3)

    def traffic(self, clients: list[str]) -> Traffic:
        """A hit of each, a step apart, from where the last one was."""
        step = self.situation.step
        return [
            (client, self.limiter.at(step * next(self.ticks))) for client in clients
        ]

    async def begin(self) -> None:
        """Let the limiter know all clients; one alone has its limit."""
        known = self.addresses
        if self.situation.clients == 1:
            known = known * LIMIT
        await self.limiter.drive(self.traffic(known))
        await self.limiter.settle()

    async def sample(self) -> float:
        hits = self.situation.hits
        if self.situation.clients == 1:
            chosen = self.addresses * hits
        else:
            chosen = self.random.sample(self.addresses, hits)
        traffic = self.traffic(chosen)
        pieces = [traffic[first : first + A_TURN] for first in range(0, hits, A_TURN)]

        admitted = 0
        begun = time.perf_counter()
        for piece in pieces:
            admitted += await self.limiter.drive(piece)
            await asyncio.sleep(0)
        seconds = time.perf_counter() - begun
        await self.limiter.settle()

        expected = hits if self.situation.accepted else 0
        self.bench.check(
            admitted == expected,
            f"{admitted} of {hits} hits were admitted, not {expected}",
        )
        return seconds / hits * 1e6


async def _where_a_hit_goes(bench: Bench) -> None:
    """What an accepted hit pays for the exercise's tools.

    And for a readable answer.
    """
    hits = bench.pick(100, 20_000)
    lock = asyncio.Lock()
    limiter = SlidingWindow(LIMIT, 1, 1)
    now = itertools.count()

    async def nothing() -> None:
        pass

    async def locked() -> None:
        async with lock:
            pass

    async def a_decision() -> Decision:
        return Decision(True, 9, 60)

    async def a_hit() -> Decision:
        return await limiter.hit("10.0.0.1", next(now))

    def alone(function: Callable[[], Awaitable[object]]) -> Sample:
        async def sample() -> float:
            begun = time.perf_counter()
            for _ in range(hits):
                await function()
            return (time.perf_counter() - begun) / hits * 1e6

        return sample

    title = f"Where a hit's time goes, an accepted one of {OURS}"
    samples = {
        "none": alone(nothing),
        "lock": alone(locked),
        "decision": alone(a_decision),
        "hit": alone(a_hit),
    }
    figures = await bench.measure(title, samples)
    none = figures["none"].median
    lock_too = figures["lock"].median
    decision_too = figures["decision"].median
    hit = figures["hit"].median
    rows = [
        ("awaiting a coroutine", none),
        ("async with asyncio.Lock, which nobody else holds", lock_too - none),
        ("making a Decision", decision_too - none),
        ("the rest: look-up, deque, reset", hit - lock_too - decision_too + none),
        ("all", hit),
    ]
    bench.table(title, ["", "µs"], rows)


# Memory

# Bytes a client, by the line that allocates them.
Parts: TypeAlias = dict[str, float]


async def _sizes(
    bench: Bench, contestants: dict[str, Make], clock: list[float]
) -> dict[str, float]:
    """Bytes a client with ten hits, its key included."""
    # One more than a table of 256, 2048 or 16384 slots takes: it has
    # just been doubled, and is at its emptiest.
    clients = bench.pick(171, 1366, 10_923)
    sizes = {}
    parts = Parts()
    for name, make in contestants.items():
        bench.say(f"bytes a client of {name}")
        by_line = parts if name == OURS else None
        sizes[name] = await _memory_of(bench, name, make(clock), clients, by_line)

    ours = sizes[OURS]
    bench.target(f"bytes a client with {LIMIT} hits", ours, at_most=BYTES)
    bench.table(
        f"Bytes a client with {LIMIT} hits, {clients:,} clients",
        ["", "bytes", f"ratio to {OURS}"],
        [(name, round(size), size / ours) for name, size in sizes.items()],
    )
    bench.table(
        f"What those of {OURS} are, by the line that takes them",
        ["", "bytes"],
        parts.items(),
    )
    chart = Chart(
        name="ratelimit-bytes",
        title=f"What a rate limiter keeps of a client with {LIMIT} requests",
        kind="bars",
        x_label="bytes a client",
        y_label="",
        series={"": list(sizes.items())},
    )
    bench.charts.append(chart)
    return sizes


async def _memory_of(
    bench: Bench, name: str, limiter: Limiter, clients: int, by_line: Parts | None
) -> float:
    """Bytes a client; those of each line are added to ``by_line``."""
    admitted = 0
    gc.collect()
    tracemalloc.start()
    try:
        addresses = [load.address(number) for number in range(clients)]
        for second in range(LIMIT):
            # Each has a time of its own, as one from a clock is.
            admitted += await limiter.drive(
                [(client, limiter.at(1000.5 + second)) for client in addresses]
            )
        refused = [(client, limiter.at(1000.5 + LIMIT)) for client in addresses]
        one_more = await limiter.drive(refused)
        await limiter.settle()

        del addresses, refused
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        if by_line is not None:
            by_line.update(_parts(tracemalloc.take_snapshot(), clients))
    finally:
        tracemalloc.stop()

    bench.check(one_more == 0, f"{name} has not {LIMIT} hits of each client")
    expected = clients * LIMIT
    bench.check(admitted == expected, f"{name} admitted {admitted}, not {expected}")
    return size / clients


def _parts(snapshot: tracemalloc.Snapshot, clients: int) -> Parts:
    """Bytes a client by the line that allocated them.

    The largest comes first.
    """
    parts: dict[str, float] = defaultdict(float)
    for each in snapshot.statistics("lineno"):
        [frame] = each.traceback
        file = Path(frame.filename)
        if file.parent == Path(__file__).parent:
            where = "what a request brings: its time, and once the key"
        else:
            line = linecache.getline(frame.filename, frame.lineno).strip()
            where = f"{file.name}: {line}"
        parts[where] += each.size / clients
    return {where: size for where, size in parts.items() if size >= 1}


# In an application


async def _in_an_application(bench: Bench, limits: bool, slowapi: bool) -> None:
    requests = bench.pick(20, 300)

    def asking(app: ASGIApp, beyond: int = 429) -> Sample:
        addresses = load.addresses()

        async def sample() -> float:
            clients = [next(addresses) for _ in range(requests)]
            begun = time.perf_counter()
            answers = [
                await load.request(app, "GET", "/tasks", client=client)
                for client in clients
            ]
            seconds = time.perf_counter() - begun

            bench.check(
                all(status == 200 for status, _ in answers),
                "a request was not answered",
            )
            status, _ = await load.request(app, "GET", "/tasks", client=clients[0])
            bench.check(status == beyond, f"the eleventh request was answered {status}")
            return seconds / requests * 1e6

        return sample

    contestants = {
        "no limiter": asking(_app(), beyond=200),
        f"{OURS}, middleware": asking(_our_app(LIMIT)),
        f"{OURS}, middleware, RATE_LIMIT=off": asking(_our_app(None), beyond=200),
        "no limiter, a BaseHTTPMiddleware that does nothing": asking(
            _app_with_base_middleware(), beyond=200
        ),
    }
    if limits:
        contestants["limits, moving window, dependency"] = asking(_limits_app())
    if slowapi:
        fixed = _slowapi_app("fixed-window")
        contestants["slowapi, fixed window"] = asking(fixed)
        moving = _slowapi_app("moving-window")
        contestants["slowapi, moving window"] = asking(moving)
    await bench.compare(
        "A trivial route of FastAPI behind a limiter, in-process; ours sends the "
        "RateLimit headers, the others none",
        "µs",
        contestants,
    )


async def _answer(request: Request) -> Response:
    return Response("ok")


def _app() -> FastAPI:
    app = FastAPI()
    app.get("/tasks")(_answer)
    return app


def _app_with_base_middleware() -> FastAPI:
    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app = _app()
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    return app


def _our_app(limit: int | None) -> FastAPI:
    app = _app()
    settings = Settings(rate_limit=limit)
    # The middleware takes an application with a manager for a started
    # one, and uses the limiter alone.
    app.state.manager = TaskManager(settings)
    app.state.readers = set()
    app.state.sees_first = None
    app.state.limiter = None
    if limit is not None:
        app.state.limiter = SlidingWindow(limit, WINDOW, settings.max_clients)
    app.add_middleware(TasksMiddleware, settings=settings)
    return app


def _limits_app() -> FastAPI:
    limits = importlib.import_module("limits")
    strategies = importlib.import_module("limits.strategies")
    limiter = strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerMinute(LIMIT)

    async def limited(request: Request) -> None:
        host = request.client.host if request.client else ""
        if not limiter.hit(item, host):
            raise HTTPException(429)

    app = FastAPI()
    app.get("/tasks", dependencies=[Depends(limited)])(_answer)
    return app


def _slowapi_app(strategy: str) -> FastAPI:
    slowapi = importlib.import_module("slowapi")
    util = importlib.import_module("slowapi.util")
    limiter = slowapi.Limiter(key_func=util.get_remote_address, strategy=strategy)
    # It would write a line for each refusal.
    limiter.logger.disabled = True

    app = FastAPI()
    app.state.limiter = limiter
    app.add_exception_handler(
        slowapi.errors.RateLimitExceeded, slowapi._rate_limit_exceeded_handler
    )
    app.get("/tasks")(limiter.limit(f"{LIMIT}/minute")(_answer))
    return app


# The load test


class Answers:
    """An application, and the headers of its last response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.headers: dict[bytes, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.headers = dict(message["headers"])
            await send(message)

        await self._app(scope, receive, watch)


class Moment:
    """What the middleware reads as the time; it stands still."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


class LoadTest:
    """The whole application, and one path of it that many ask for."""

    def __init__(self, bench: Bench, app: ASGIApp, path: str) -> None:
        self.bench = bench
        self.answers = Answers(app)
        self.path = path
        # Seconds that each request took, by its status.
        self.taken: dict[int, list[float]] = {200: [], 429: []}

    async def ask(self, client: str) -> int:
        status, _ = await load.request(self.answers, "GET", self.path, client=client)
        return status

    async def ask_many(self, traffic: list[str]) -> None:
        """More than a minute's worth from each, within one moment."""
        admitted = dict.fromkeys(traffic, 0)
        for address in traffic:
            begun = time.perf_counter()
            status = await self.ask(address)
            self.taken[status].append(time.perf_counter() - begun)
            if status == 200:
                admitted[address] += 1
            else:
                self.bench.check(
                    self.answers.headers.get(b"retry-after") == b"%d" % WINDOW,
                    "a 429 says no time to wait",
                )
        self.bench.check(
            set(admitted.values()) == {LIMIT},
            f"not each address had {LIMIT} requests admitted",
        )

    async def ask_at_once(self, client: str, times: int) -> None:
        statuses = await asyncio.gather(*(self.ask(client) for _ in range(times)))
        admitted = statuses.count(200)
        self.bench.check(
            admitted == LIMIT, f"{admitted} of one address at once were admitted"
        )

    async def ask_later(self, clients: list[str], moment: Moment) -> None:
        """The window ends exactly when it is over."""
        begun = moment.now
        for later, expected in [(WINDOW - 0.001, 429), (WINDOW, 200)]:
            moment.now = begun + later
            statuses = {await self.ask(client) for client in clients}
            self.bench.check(
                statuses == {expected},
                f"{later:.3f} s later not all were answered {expected}",
            )


async def _load_test(bench: Bench) -> None:
    clients = bench.pick(10, 2000, 20_000)
    each = LIMIT + LIMIT // 2
    addresses = [load.address(number) for number in range(clients)]
    traffic = addresses * each
    random.Random(5).shuffle(traffic)

    async with load.running() as (app, _):
        _, body = await load.request(
            app, "POST", "/tasks", body=load.BODY, client="192.0.2.1"
        )
        task_id = json.loads(body)["task_id"]
        test = LoadTest(bench, app, f"/tasks/{task_id}")
        moment = Moment()
        with mock.patch("taskmanager.middleware.time", moment):
            bench.say(f"load test, {clients:,} addresses")
            await test.ask_many(traffic)
            await test.ask_at_once("192.0.2.2", 20 * LIMIT)
            await test.ask_later(addresses[:100], moment)

    names = {200: "200 accepted", 429: "429 refused"}
    rows = []
    for status, seconds in test.taken.items():
        mean = sum(seconds) / len(seconds) * 1e6
        row = (
            names[status],
            len(seconds),
            mean,
            percentile(seconds, 99) * 1e6,
            round(1e6 / mean),
        )
        rows.append(row)
    header = [
        "",
        "requests",
        "mean, µs",
        "p99, µs",
        "requests/s",
    ]
    bench.table(
        f"The whole application, in-process: {each} requests within a minute from each "
        f"of {clients:,} addresses",
        header,
        rows,
    )
    bench.notes.append(
        f"Load test: {clients * each:,} requests, exactly {LIMIT} of each address "
        "accepted, each 429 with Retry-After."
    )
