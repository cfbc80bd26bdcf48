"""Over loopback: a route of the engine and the same on FastAPI alone.

Each is served by a uvicorn in a process of its own. Rules: a sample
ends when all that it submitted is done, so dispatch is part of it. Each
answer is checked, and in the end every task. The load is
``load.hammer``: as many requests under way as connections, no more; and
wrk, where it is installed, which costs less of this machine than any
client in Python.
"""

import json
import time
from functools import partial
from typing import Any

from benchmarks import load
from benchmarks.harness import PERCENTILES, Bench, Chart, parts_of, percentile

SETTINGS: dict[str, Any] = {
    "rate_limit": 10**9,
    "queue_size": 10**6,
    "max_tasks": 10**6,
    "work_scale": 0,
}
BARE = "bare FastAPI"
OURS = "taskmanager"
CONNECTIONS = [
    1,
    4,
    16,
    64,
]
WRK_CONNECTIONS = 16
ROUTES = {"GET": "GET /tasks/{task_id}", "POST": "POST /tasks"}
# The points of each line of the picture.
Lines = dict[str, list[tuple[Any, float]]]


class Server:
    """A running server, and the one request that it is asked."""

    def __init__(self, port: int, method: str) -> None:
        self.port = port
        self.method = method
        # Tasks that it has for certain; one is submitted here.
        self.accepted = 1
        # Tasks that it may have besides.
        self.perhaps = 0
        # Seconds that the load generator took, and worked.
        self.asking = 0.0
        self.working = 0.0

        task = json.loads(load.fetch(port, "POST", "/tasks", load.BODY))
        load.until_done(port)
        self.body: bytes | None
        if method == "POST":
            self.path = "/tasks"
            self.message = load.http_request("POST", self.path, load.BODY)
            self.expect = 202
            self.body = None
        else:
            self.path = f"/tasks/{task['task_id']}"
            self.message = load.http_request("GET", self.path)
            self.expect = 200
            self.body = load.fetch(port, "GET", self.path)

    async def sample(self, connections: int, seconds: float) -> tuple[float, ...]:
        """µs a request until all is done, then percentiles in ms.

        Those are of the latency.
        """
        begun = time.perf_counter()
        working = time.process_time()
        rate, latencies = await load.hammer(
            self.port,
            self.message,
            connections=connections,
            seconds=seconds,
            expect=self.expect,
            body=self.body,
        )
        ended = time.perf_counter()
        self.asking += ended - begun
        self.working += time.process_time() - working

        count = len(latencies)
        if self.method == "POST":
            self.accepted += count
        load.until_done(self.port)

        taken = count / rate + time.perf_counter() - ended
        percentiles = [percentile(latencies, percent) for percent in PERCENTILES]
        return taken / count * 1e6, *percentiles

    async def sample_by_wrk(self) -> float:
        """µs a request until all is done.

        What wrk had under way at its end, it does not count.
        """
        body = load.BODY if self.method == "POST" else b""
        begun = time.perf_counter()
        count, rate = load.wrk(
            self.port, self.method, self.path, body, connections=WRK_CONNECTIONS
        )
        ended = time.perf_counter()

        if self.method == "POST":
            self.accepted += count
            self.perhaps += WRK_CONNECTIONS
        load.until_done(self.port)

        asking = min(count / rate, ended - begun)
        taken = asking + time.perf_counter() - ended
        return taken / count * 1e6

    def check(self, bench: Bench) -> None:
        """Read each task that was accepted, all of them."""
        tasks = json.loads(load.fetch(self.port, "GET", "/tasks"))
        bench.check(
            self.accepted <= len(tasks) <= self.accepted + self.perhaps,
            f"{self.accepted} tasks were accepted, and {len(tasks)} are there",
        )

        for task in tasks:
            done = task["status"] == "completed" and task["result"] == load.RESULT
            bench.check(done, "a task has not its result")


async def compare(bench: Bench, method: str) -> None:
    """Measure the route at several numbers of connections.

    Adds a table and a picture.
    """
    route = ROUTES[method]
    with load.server("benchmarks.bare:app") as bare, load.server(**SETTINGS) as ours:
        servers = {BARE: Server(bare, method), OURS: Server(ours, method)}
        rows, lines = await _with_hammer(bench, route, servers)
        if load.WRK:
            await _with_wrk(bench, route, servers)
        else:
            bench.left_out.append(
                "wrk: not installed; apt install wrk, or brew install wrk"
            )
        servers[OURS].check(bench)

    title = f"{route} over loopback, one uvicorn process"
    if method == "POST":
        title += ", until all tasks are done"
    settings = [f"{name.upper()}={value}" for name, value in SETTINGS.items()]
    header = [
        "",
        "connections",
        "requests/s",
        *(f"p{percent}, ms" for percent in PERCENTILES),
        f"1 / (requests/s), ratio to {BARE}",
        "its quartiles",
    ]
    bench.table(
        f"{title}; load by hammer() of load.py; {', '.join(settings)}", header, rows
    )

    busy = max(server.working / server.asking for server in servers.values())
    bench.notes.append(
        f"Over loopback, the load generator worked for {busy:.0%} of the time, and "
        "waited for the rest."
    )
    chart = Chart(
        name=f"latency-{method.lower()}",
        title=f"{route} over loopback, one process",
        kind="lines",
        x_label="connections",
        y_label="latency, ms",
        series=lines,
        log_y=True,
    )
    bench.charts.append(chart)


async def _with_hammer(
    bench: Bench, route: str, servers: dict[str, Server]
) -> tuple[list[tuple[object, ...]], Lines]:
    """The rows of the table, and the lines of the picture."""
    seconds = bench.pick(0.05, 0.1, 0.3)
    rounds = bench.pick(1, 4, 21)
    counts = bench.pick([1, 4], CONNECTIONS)
    allowed = load.connections_allowed(max(counts))

    rows: list[tuple[object, ...]] = []
    lines: Lines = {f"{name}, {p}": [] for name in (OURS, BARE) for p in ("p50", "p99")}
    for count in counts:
        if count > allowed:
            continue
        what = (
            f"{route} over loopback, {count} connections: µs a request; p50, p90, p99 "
            "in ms"
        )
        bench.say(what)
        samples = {
            name: partial(server.sample, count, seconds)
            for name, server in servers.items()
        }
        costs, *latencies = parts_of(await bench.take_turns(what, samples, rounds))

        for name, cost in costs.items():
            percentiles = [figures[name].median for figures in latencies]
            row = (
                name,
                count,
                round(1e6 / cost.median),
                *percentiles,
                cost.ratio,
                cost.spread,
            )
            rows.append(row)
            p50, _, p99 = percentiles
            lines[f"{name}, p50"].append((count, p50))
            lines[f"{name}, p99"].append((count, p99))
    return rows, lines


async def _with_wrk(bench: Bench, route: str, servers: dict[str, Server]) -> None:
    samples = {name: server.sample_by_wrk for name, server in servers.items()}
    title = (
        f"{route} over loopback, {WRK_CONNECTIONS} connections; load by wrk; the same "
        "settings"
    )
    await bench.compare(title, "1 / (requests/s), µs", samples, bench.pick(1, 2, 7))
