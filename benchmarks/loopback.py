"""Over loopback: a route of the engine and the same on FastAPI alone,
each by a uvicorn in a process of its own.

Rules: a sample ends when all that it submitted is done, so dispatch is
part of it. Each answer is checked, and in the end every task. The load
is ``load.hammer``: as many requests under way as connections, no more;
and wrk, where it is installed, which costs less of this machine than
any client in Python.
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
BARE, OURS = "bare FastAPI", "taskmanager"
WRK_CONNECTIONS = 16


class Server:
    """A running server, and the one request that it is asked again and
    again.
    """

    def __init__(self, port: int, method: str) -> None:
        self.port, self.method = port, method
        self.accepted, self.perhaps, self.asking, self.working = 1, 0, 0.0, 0.0
        task = json.loads(load.fetch(port, "POST", "/tasks", load.BODY))
        load.until_done(port)
        if method == "POST":
            self.path = "/tasks"
            self.message, self.expect, self.body = (
                load.http_request("POST", "/tasks", load.BODY),
                202,
                None,
            )
        else:
            self.path = f"/tasks/{task['task_id']}"
            self.message, self.expect = load.http_request("GET", self.path), 200
            self.body = load.fetch(port, "GET", self.path)

    async def sample(self, connections: int, seconds: float) -> tuple[float, ...]:
        """µs a request until all is done, and percentiles of the
        latency, in ms.
        """
        begun, working = time.perf_counter(), time.process_time()
        rate, latencies = await load.hammer(
            self.port,
            self.message,
            connections=connections,
            seconds=seconds,
            expect=self.expect,
            body=self.body,
        )
        ended, count = time.perf_counter(), len(latencies)
        self.asking += ended - begun
        self.working += time.process_time() - working
        if self.method == "POST":
            self.accepted += count
        load.until_done(self.port)
        taken = count / rate + time.perf_counter() - ended
        return taken / count * 1e6, *(
            percentile(latencies, percent) for percent in PERCENTILES
        )

    async def sample_by_wrk(self) -> float:
        """µs a request until all is done. What wrk had under way at its
        end, it does not count.
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
        return (
            (min(count / rate, ended - begun) + time.perf_counter() - ended)
            / count
            * 1e6
        )

    def check(self, bench: Bench) -> None:
        """Read each task that was accepted, all of them."""
        tasks = json.loads(load.fetch(self.port, "GET", "/tasks"))
        right = self.accepted <= len(tasks) <= self.accepted + self.perhaps
        bench.check(
            right, f"{self.accepted} tasks were accepted, and {len(tasks)} are there"
        )
        done = all(
            (task["status"], task["result"]) == ("completed", load.RESULT)
            for task in tasks
        )
        bench.check(done, "a task has not its result")


async def compare(bench: Bench, method: str) -> None:
    """Measure the route at several numbers of connections: adds a table
    and a picture.
    """
    route = {"GET": "GET /tasks/{task_id}", "POST": "POST /tasks"}[method]
    seconds, rounds, counts = (
        bench.pick(0.05, 0.1, 0.3),
        bench.pick(1, 4, 21),
        bench.pick([1, 4], [1, 4, 16, 64]),
    )
    allowed = load.connections_allowed(counts[-1])
    rows: list[tuple[object, ...]] = []
    lines: dict[str, list[tuple[Any, float]]] = {
        f"{name}, {p}": [] for name in (OURS, BARE) for p in ("p50", "p99")
    }
    with load.server("benchmarks.bare:app") as bare, load.server(**SETTINGS) as port:
        servers = {BARE: Server(bare, method), OURS: Server(port, method)}
        for count in (count for count in counts if count <= allowed):
            what = f"{route} over loopback, {count} connections: µs a request; p50, p90, p99 in ms"
            samples = {
                name: partial(server.sample, count, seconds)
                for name, server in servers.items()
            }
            bench.say(what)
            costs, *latencies = parts_of(await bench.take_turns(what, samples, rounds))
            for name, cost in costs.items():
                found = [figures[name].median for figures in latencies]
                rows.append(
                    (
                        name,
                        count,
                        round(1e6 / cost.median),
                        *found,
                        cost.ratio,
                        cost.spread,
                    )
                )
                lines[f"{name}, p50"].append((count, found[0]))
                lines[f"{name}, p99"].append((count, found[-1]))
        if load.WRK:
            by_wrk = {name: server.sample_by_wrk for name, server in servers.items()}
            title = f"{route} over loopback, {WRK_CONNECTIONS} connections; load by wrk; the same settings"
            await bench.compare(
                title, "1 / (requests/s), µs", by_wrk, bench.pick(1, 2, 7)
            )
        else:
            bench.left_out.append(
                "wrk: not installed; apt install wrk, or brew install wrk"
            )
        servers[OURS].check(bench)
    title = f"{route} over loopback, one uvicorn process" + (
        ", until all tasks are done" if method == "POST" else ""
    )
    set_to = ", ".join(f"{name.upper()}={value}" for name, value in SETTINGS.items())
    percentiles = [f"p{percent}, ms" for percent in PERCENTILES]
    bench.table(
        f"{title}; load by hammer() of load.py; {set_to}",
        [
            "",
            "connections",
            "requests/s",
            *percentiles,
            f"1 / (requests/s), ratio to {BARE}",
            "its quartiles",
        ],
        rows,
    )
    busy = max(server.working / server.asking for server in servers.values())
    bench.notes.append(
        f"Over loopback, the load generator worked for {busy:.0%} of the time, and waited for the rest."
    )
    name, title = f"latency-{method.lower()}", f"{route} over loopback, one process"
    bench.charts.append(
        Chart(name, title, "lines", "connections", "latency, ms", lines, True)
    )
