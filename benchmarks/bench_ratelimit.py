"""Rate limit: what a decision costs and takes, how exact it is, and
what it adds to a request.

The peers are driven in their fastest exact configuration: ``limits``
with its moving window in memory, and ``pyrate-limiter`` with a bucket a
client. Each contestant reads a clock, as it would in an application;
here that is a cell, so that a minute passes when the benchmark says so.
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
from typing import Any, Protocol, TypeAlias
from unittest import mock

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks import load
from benchmarks.harness import Bench, Chart, Figure, Sample, percentile
from taskmanager import Settings, TaskManager
from taskmanager.middleware import TasksMiddleware
from taskmanager.ratelimit import Decision, SlidingWindow

LIMIT, WINDOW = 10, 60
OURS = "taskmanager"
BYTES = 1280  # a client with ten hits may take
# hits for each turn of the event loop, which a limiter's upkeep may
# need: more than any server has
A_TURN = 100


# a client, and the time of its request, in a limiter's own unit
Traffic: TypeAlias = list[tuple[str, Any]]


class Limiter(Protocol):
    """A contestant. It reads the first item of ``clock``, once a hit or
    more, which costs what a real clock does.
    """

    def at(self, seconds: float) -> float:
        """The time as this limiter counts it."""

    async def drive(self, traffic: Traffic) -> int:
        """Hit for each request, in order; says how many were admitted."""

    async def settle(self) -> None:
        """End what the limiter does in the background, so that it is
        not the next contestant's cost.
        """


class Ours:
    def __init__(self, clock: list[float]) -> None:
        self._hit, self._clock = (
            SlidingWindow(LIMIT, WINDOW, max_clients=1_000_000).hit,
            clock,
        )

    def at(self, seconds: float) -> float:
        return seconds

    async def drive(self, traffic: Traffic) -> int:
        hit, clock, read, admitted = (
            self._hit,
            self._clock,
            partial(self._clock.__getitem__, 0),
            0,
        )
        for client, clock[0] in traffic:
            if (await hit(client, read())).allowed:
                admitted += 1
        return admitted

    async def settle(self) -> None:
        pass


class Limits:
    """``limits``, whose storage reads ``clock`` while
    ``_clock_of_limits`` lets it.
    """

    def __init__(
        self, clock: list[float], strategy: str = "MovingWindowRateLimiter"
    ) -> None:
        limits, strategies = (
            importlib.import_module("limits"),
            importlib.import_module("limits.strategies"),
        )
        self._storage = limits.storage.MemoryStorage()
        self._hit, self._item = (
            getattr(strategies, strategy)(self._storage).hit,
            limits.RateLimitItemPerMinute(LIMIT),
        )
        self._clock = clock

    def at(self, seconds: float) -> float:
        return seconds

    async def drive(self, traffic: Traffic) -> int:
        hit, item, clock, admitted = self._hit, self._item, self._clock, 0
        for client, clock[0] in traffic:
            if hit(item, client):
                admitted += 1
        return admitted

    async def settle(self) -> None:
        self._storage.timer.join()  # its thread, which goes through all clients


class LimitsAsync:
    def __init__(self, clock: list[float]) -> None:
        limits, storage = (
            importlib.import_module("limits"),
            importlib.import_module("limits.aio.storage"),
        )
        self._storage = storage.MemoryStorage()
        strategies = importlib.import_module("limits.aio.strategies")
        self._hit = strategies.MovingWindowRateLimiter(self._storage).hit
        self._item, self._clock = limits.RateLimitItemPerMinute(LIMIT), clock

    def at(self, seconds: float) -> float:
        return seconds

    async def drive(self, traffic: Traffic) -> int:
        hit, item, clock, admitted = self._hit, self._item, self._clock, 0
        for client, clock[0] in traffic:
            if await hit(item, client):
                admitted += 1
        return admitted

    async def settle(self) -> None:
        if len(self._storage.events) > 1:
            # it would take a thread for each client, one after the
            # other: seconds
            self._storage.timer.cancel()
        await asyncio.wait([self._storage.timer])


class Pyrate:
    def __init__(self, clock: list[float]) -> None:
        pyrate: Any = importlib.import_module("pyrate_limiter")
        rates = [pyrate.Rate(LIMIT, pyrate.Duration.MINUTE)]
        self._clock = own_clock = [0]
        now = SimpleNamespace(now=partial(own_clock.__getitem__, 0))

        class BucketOfEachClient(pyrate.BucketFactory):  # type: ignore[misc] # as its documentation shows
            def __init__(self) -> None:
                self.clock, self.buckets = now, dict[str, Any]()
                # its thread would disturb the others: put off, in its
                # favour
                self.leak_interval = 3_600_000

            def wrap_item(self, name: str, weight: int = 1) -> Any:
                return pyrate.RateItem(name, self.clock.now(), weight=weight)

            def get(self, item: Any) -> Any:
                if item.name not in self.buckets:
                    self.buckets[item.name] = bucket = self.create(
                        pyrate.InMemoryBucket, rates
                    )
                    bucket._clock = self.clock
                return self.buckets[item.name]

        self._acquire = pyrate.Limiter(BucketOfEachClient()).try_acquire

    def at(self, seconds: float) -> int:
        return int(seconds * 1000)

    async def drive(self, traffic: Traffic) -> int:
        acquire, clock, admitted = self._acquire, self._clock, 0
        for client, clock[0] in traffic:
            if acquire(client, blocking=False):
                admitted += 1
        return admitted

    async def settle(self) -> None:
        pass


Make: TypeAlias = Callable[[list[float]], Limiter]


async def run(bench: Bench) -> None:
    limits, pyrate, slowapi = (
        bench.peer(name) for name in ("limits", "pyrate_limiter", "slowapi")
    )
    contestants: dict[str, Make] = {OURS: Ours}
    inexact: dict[str, Make] = {}
    if limits:
        contestants |= {
            "limits, moving window": Limits,
            "limits, moving window, async": LimitsAsync,
        }
        inexact = {
            "limits, sliding window counter": partial(
                Limits, strategy="SlidingWindowCounterRateLimiter"
            ),
            "limits, fixed window (slowapi's default)": partial(
                Limits, strategy="FixedWindowRateLimiter"
            ),
        }
    if pyrate:
        contestants["pyrate-limiter"] = Pyrate
    bench.notes.append(
        "limits clears up beside its hits in a thread, with async storage by a thread a client: counted as far as it\n"
        f"gets to run, with a turn of the event loop after each {A_TURN} hits. pyrate-limiter's thread is put off, in\n"
        "its favour. What the garbage collector takes for 100,000 clients is not in the figures of a hit."
    )
    clock = [0.0]
    with _clock_of_limits(clock) if limits else nullcontext():
        exact = await _exactness(bench, contestants | inexact, clock)
        costs = await _hits(bench, contestants, exact, clock)
        sizes = await _sizes(bench, contestants, clock)
    await _where_a_hit_goes(bench)
    bench.table(
        "In short",
        [
            "",
            *(f"hits/s, {situation}" for situation in costs),
            "bytes a client",
            "exact",
        ],
        [
            (
                name,
                *(round(1e6 / figures[name].median) for figures in costs.values()),
                sizes[name],
                "yes" if name in exact else "no",
            )
            for name in contestants
        ],
    )
    await _in_an_application(bench, bool(limits), bool(slowapi))
    await _load_test(bench)


@contextmanager
def _clock_of_limits(clock: list[float]) -> Iterator[None]:
    """Let ``limits`` read ``clock`` in place of ``time.time``; its
    threads do so too.
    """
    stand_in = SimpleNamespace(time=partial(clock.__getitem__, 0))
    with (
        mock.patch("limits.storage.memory.time", stand_in),
        mock.patch("limits.aio.storage.memory.time", stand_in),
    ):
        yield


async def _exactness(
    bench: Bench, contestants: dict[str, Make], clock: list[float]
) -> set[str]:
    """Many requests at once, and random traffic judged by counting;
    says who is exact.
    """
    at_once, requests = bench.pick(50, 1000), bench.pick(300, 5000, 50_000)
    exact, rows = set(), []
    for name, make in contestants.items():
        bench.say(f"exactness of {name}")
        limiter = make(clock)
        first, later = [("one", limiter.at(1.0))], [("one", limiter.at(1.0 + WINDOW))]
        admitted = sum(
            await asyncio.gather(*(limiter.drive(first) for _ in range(at_once)))
        )
        at_the_border = await limiter.drive(later)
        accepted: dict[str, list[float]] = defaultdict(list)
        wrong, wrong_if_closed, most = 0, 0, 0
        for client, now in _random_traffic(requests):
            allowed = bool(await limiter.drive([(client, limiter.at(now))]))
            times = accepted[client]
            wrong += allowed != (sum(now - WINDOW < then for then in times) < LIMIT)
            wrong_if_closed += allowed != (
                sum(now - WINDOW <= then for then in times) < LIMIT
            )
            if allowed:
                times.append(now)
                most = max(most, sum(now - WINDOW < then for then in times))
        await limiter.settle()
        # A closed window counts one moment more than it has to, but
        # that is a choice, not an error.
        off = min(wrong, wrong_if_closed)
        if off == 0 and admitted == LIMIT:
            exact.add(name)
        rows.append(
            (name, admitted, off, most, "accepted" if at_the_border else "refused")
        )
        if name == OURS:
            bench.check(
                admitted == LIMIT,
                f"{admitted} of {at_once} at once were admitted, not {LIMIT}",
            )
            bench.check(wrong == 0, f"{wrong} of {requests} decisions are wrong")
            bench.check(
                at_the_border == 1, "a request exactly a window later was refused"
            )
            bench.target("decisions wrong, of random traffic", wrong, at_most=0)
    bench.table(
        f"Exactness: {LIMIT} in {WINDOW} s, judged by counting each client's accepted requests",
        [
            "",
            f"admitted, {at_once} at once",
            f"wrong decisions, of {requests:,}",
            f"most in {WINDOW} s",
            f"exactly {WINDOW} s later",
        ],
        rows,
    )
    return exact


def _random_traffic(requests: int) -> Iterator[tuple[str, float]]:
    """Bursts and pauses of 8 clients, in eighths of a second: exact in
    binary, so borders are met to the dot.
    """
    rng, now = random.Random(7), 1000.0
    for _ in range(requests):
        now += (
            45.0
            if rng.random() < 0.005
            else rng.choice((0.0, 0.0, 0.0, 0.125, 0.25, 1.0))
        )
        yield f"client {rng.randrange(8)}", now


def _addresses(count: int) -> list[str]:
    return [
        f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        for number in range(count)
    ]


async def _hits(
    bench: Bench, contestants: dict[str, Make], exact: set[str], clock: list[float]
) -> dict[str, dict[str, Figure]]:
    """What a hit takes, in µs, by situation and contestant."""
    few, hits, many = (
        bench.pick(200, 2000),
        bench.pick(200, 10_000),
        bench.pick(500, 100_000),
    )
    costs = {
        # 6.5 s between two hits: nine are in the window, and one leaves
        # it as another comes.
        "1 client, accepted": await _hits_of(bench, contestants, 1, few, 6.5, clock),
        "1 client, refused": await _hits_of(bench, contestants, 1, few, 0.0, clock),
        # About as many hits a minute as clients. Those of a sample are
        # all different, and a minute has nine samples at most, so
        # nobody comes to more than ten hits.
        f"{many:,} clients": await _hits_of(
            bench, contestants, many, hits, 70 / many, clock
        ),
    }
    for situation, figures in costs.items():
        peers = [
            figure.ratio for name, figure in figures.items() if name in exact - {OURS}
        ]
        if peers:
            bench.target(
                f"{situation}: times the hits/s of the fastest exact peer",
                min(peers),
                at_least=3,
            )
    bench.charts.append(
        Chart(
            "ratelimit-hits",
            "A decision of a rate limiter",
            "bars",
            "µs a hit",
            "",
            {
                situation: [(name, figure.median) for name, figure in figures.items()]
                for situation, figures in costs.items()
            },
        )
    )
    return costs


async def _hits_of(
    bench: Bench,
    contestants: dict[str, Make],
    clients: int,
    hits: int,
    step: float,
    clock: list[float],
) -> dict[str, Figure]:
    """Hits ``step`` seconds apart."""
    addresses, expected = _addresses(clients), hits if step else 0

    def hitting(limiter: Limiter, ticks: "itertools.count[int]") -> Sample:
        rng = random.Random(3)

        async def sample() -> float:
            chosen = rng.sample(addresses, hits) if clients > 1 else addresses * hits
            traffic = [(client, limiter.at(step * next(ticks))) for client in chosen]
            pieces, admitted = (
                [traffic[index : index + A_TURN] for index in range(0, hits, A_TURN)],
                0,
            )
            begun = time.perf_counter()
            for piece in pieces:
                admitted += await limiter.drive(piece)
                await asyncio.sleep(0)
            seconds = time.perf_counter() - begun
            await limiter.settle()
            bench.check(
                admitted == expected,
                f"{admitted} of {hits} hits were admitted, not {expected}",
            )
            return seconds / hits * 1e6

        return sample

    kind = "accepted" if step else "refused"
    title = f"A hit, {kind}, " + (
        f"random of {clients:,} clients" if clients > 1 else "always the same client"
    )
    samples = {}
    for name, make in contestants.items():
        bench.say(f"{clients:,} clients for {name}")
        limiter, ticks = make(clock), itertools.count()
        known = addresses if clients > 1 else addresses * LIMIT
        await limiter.drive(
            [(client, limiter.at(step * next(ticks))) for client in known]
        )
        await limiter.settle()
        samples[name] = hitting(limiter, ticks)
    gc.collect()
    # else most of the time goes into collecting, between the samples,
    # what is no garbage
    gc.freeze()
    try:
        return await bench.compare(title, "µs", samples, rounds=bench.pick(1, 4, 15))
    finally:
        gc.unfreeze()


async def _where_a_hit_goes(bench: Bench) -> None:
    """The parts of an accepted hit that are the price of the exercise's
    tools and of a readable answer.
    """
    hits, lock, limiter, now = (
        bench.pick(100, 20_000),
        asyncio.Lock(),
        SlidingWindow(LIMIT, 1, 1),
        itertools.count(),
    )

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
    figures = await bench.measure(
        title,
        {
            "none": alone(nothing),
            "lock": alone(locked),
            "decision": alone(a_decision),
            "hit": alone(a_hit),
        },
    )
    none, lock_too, decision_too, hit = (figure.median for figure in figures.values())
    parts = {
        "awaiting a coroutine": none,
        "async with asyncio.Lock, which nobody else holds": lock_too - none,
        "making a Decision": decision_too - none,
        "the rest: look-up, deque, reset": hit - lock_too - decision_too + none,
        "all": hit,
    }
    bench.table(title, ["", "µs"], parts.items())


async def _sizes(
    bench: Bench, contestants: dict[str, Make], clock: list[float]
) -> dict[str, float]:
    """Bytes a client with ten hits, its key included."""
    # One more than a table of 256, 2048 or 16384 slots takes: it has
    # just been doubled, and is at its emptiest.
    clients = bench.pick(171, 1366, 10_923)
    sizes: dict[str, float] = {}
    parts: list[tuple[str, float]] = []
    for name, make in contestants.items():
        bench.say(f"bytes a client of {name}")
        limiter, admitted = make(clock), 0
        gc.collect()
        tracemalloc.start()
        try:
            addresses = _addresses(clients)
            for second in range(LIMIT):
                admitted += await limiter.drive(
                    [(client, limiter.at(1000.5 + second)) for client in addresses]
                )
            refused = [(client, limiter.at(1000.5 + LIMIT)) for client in addresses]
            bench.check(
                await limiter.drive(refused) == 0,
                f"{name} has not {LIMIT} hits of each client",
            )
            await limiter.settle()
            del addresses, refused
            gc.collect()
            sizes[name] = tracemalloc.get_traced_memory()[0] / clients
            if name == OURS:
                parts = _parts(tracemalloc.take_snapshot(), clients)
        finally:
            tracemalloc.stop()
        bench.check(
            admitted == clients * LIMIT,
            f"{name} admitted {admitted}, not {clients * LIMIT}",
        )
    bench.target(f"bytes a client with {LIMIT} hits", sizes[OURS], at_most=BYTES)
    bench.table(
        f"Bytes a client with {LIMIT} hits, {clients:,} clients",
        ["", "bytes", f"ratio to {OURS}"],
        [(name, round(size), size / sizes[OURS]) for name, size in sizes.items()],
    )
    bench.table(
        f"What those of {OURS} are, by the line that takes them", ["", "bytes"], parts
    )
    bench.charts.append(
        Chart(
            "ratelimit-bytes",
            f"What a rate limiter keeps of a client with {LIMIT} requests",
            "bars",
            "bytes a client",
            "",
            {"": list(sizes.items())},
        )
    )
    return sizes


def _parts(snapshot: tracemalloc.Snapshot, clients: int) -> list[tuple[str, float]]:
    """Bytes a client by the line that allocated them, the largest
    first.
    """
    parts: dict[str, float] = defaultdict(float)
    for each in snapshot.statistics("lineno"):
        file, line = each.traceback[0].filename, each.traceback[0].lineno
        where = f"{Path(file).name}: {linecache.getline(file, line).strip()}"
        parts[
            "what a request brings: its time, and once the key"
            if file == __file__
            else where
        ] += each.size / clients
    return [(where, size) for where, size in parts.items() if size >= 1]


async def _in_an_application(bench: Bench, limits: bool, slowapi: bool) -> None:
    requests = bench.pick(20, 300)

    def asking(app: ASGIApp, limited: bool) -> Sample:
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
            bench.check(
                status == (429 if limited else 200),
                f"the eleventh request was answered {status}",
            )
            return seconds / requests * 1e6

        return sample

    contestants = {
        "no limiter": asking(_app(), limited=False),
        f"{OURS}, middleware": asking(_our_app(LIMIT), limited=True),
        f"{OURS}, middleware, RATE_LIMIT=off": asking(_our_app(None), limited=False),
    }
    if limits:
        contestants["limits, moving window, dependency"] = asking(
            _limits_app(), limited=True
        )
    if slowapi:
        contestants["slowapi, fixed window"] = asking(
            _slowapi_app("fixed-window"), limited=True
        )
        contestants["slowapi, moving window"] = asking(
            _slowapi_app("moving-window"), limited=True
        )
    await bench.compare(
        "A trivial route of FastAPI behind a limiter, in-process; ours sends the RateLimit headers, the others none",
        "µs",
        contestants,
    )


async def _answer(request: Request) -> Response:
    return Response("ok")


def _app() -> FastAPI:
    app = FastAPI()
    app.get("/tasks")(_answer)
    return app


def _our_app(limit: int | None) -> FastAPI:
    app, settings = _app(), Settings(rate_limit=limit)
    # not started: the middleware needs its limiter alone
    app.state.manager = TaskManager(settings)
    app.add_middleware(TasksMiddleware, settings=settings)
    return app


def _limits_app() -> FastAPI:
    limits, strategies = (
        importlib.import_module("limits"),
        importlib.import_module("limits.strategies"),
    )
    limiter = strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerMinute(LIMIT)

    async def limited(request: Request) -> None:
        if not limiter.hit(item, request.client.host if request.client else ""):
            raise HTTPException(429)

    app = FastAPI()
    app.get("/tasks", dependencies=[Depends(limited)])(_answer)
    return app


def _slowapi_app(strategy: str) -> FastAPI:
    slowapi, util = (
        importlib.import_module("slowapi"),
        importlib.import_module("slowapi.util"),
    )
    app = FastAPI()
    app.state.limiter = slowapi.Limiter(
        key_func=util.get_remote_address, strategy=strategy
    )
    app.add_exception_handler(
        slowapi.errors.RateLimitExceeded, slowapi._rate_limit_exceeded_handler
    )
    app.state.limiter.logger.disabled = True  # a line for each refusal
    app.get("/tasks")(app.state.limiter.limit(f"{LIMIT}/minute")(_answer))
    return app


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


async def _load_test(bench: Bench) -> None:
    """The whole application, more than a minute's worth from each of
    many addresses, within one moment.
    """
    clients, each = bench.pick(10, 2000, 20_000), LIMIT + LIMIT // 2
    addresses = _addresses(clients)
    traffic = addresses * each
    random.Random(5).shuffle(traffic)
    now = time.monotonic()
    taken: dict[int, list[float]] = {200: [], 429: []}
    admitted: dict[str, int] = dict.fromkeys(addresses, 0)
    async with load.running() as (app, _):
        answers = Answers(app)
        _, body = await load.request(
            app, "POST", "/tasks", body=load.BODY, client="192.0.2.1"
        )
        path = f"/tasks/{json.loads(body)['task_id']}"
        with mock.patch(
            "taskmanager.middleware.time", SimpleNamespace(monotonic=lambda: now)
        ):
            bench.say(f"load test, {clients:,} addresses")
            for address in traffic:
                begun = time.perf_counter()
                status, _ = await load.request(answers, "GET", path, client=address)
                taken[status].append(time.perf_counter() - begun)
                admitted[address] += status == 200
                if status == 429:
                    bench.check(
                        answers.headers.get(b"retry-after") == b"%d" % WINDOW,
                        "a 429 says no time to wait",
                    )
            bench.check(
                set(admitted.values()) == {LIMIT},
                f"not each address had {LIMIT} requests admitted",
            )

            at_once = [
                load.request(app, "GET", path, client="192.0.2.2")
                for _ in range(20 * LIMIT)
            ]
            statuses = [status for status, _ in await asyncio.gather(*at_once)]
            bench.check(
                statuses.count(200) == LIMIT,
                f"{statuses.count(200)} of one address at once were admitted",
            )

            begun_at, sample = now, addresses[:100]
            for now, expected in (
                (begun_at + WINDOW - 0.001, 429),
                (begun_at + WINDOW, 200),
            ):
                later = [
                    (await load.request(app, "GET", path, client=address))[0]
                    for address in sample
                ]
                bench.check(
                    set(later) == {expected},
                    f"{now - begun_at:.3f} s later not all were answered {expected}",
                )
    bench.table(
        f"The whole application, in-process: {each} requests within a minute from each of {clients:,} addresses",
        ["", "requests", "mean, µs", "p99, µs", "requests/s"],
        [
            (
                f"{status} {'accepted' if status == 200 else 'refused'}",
                len(seconds),
                (mean := sum(seconds) / len(seconds) * 1e6),
                percentile(seconds, 99) * 1e6,
                round(1e6 / mean),
            )
            for status, seconds in taken.items()
        ],
    )
    bench.notes.append(
        f"Load test: {clients * each:,} requests, exactly {LIMIT} of each address accepted, each 429 with Retry-After."
    )
