"""Layers: where a request's time goes, from the socket to the engine.

The same POST and GET are served by one layer more each time, every one
in a uvicorn of its own. What counts is the CPU time of that process,
which a busy machine disturbs least; for the engine's POST, until its
task is done. The difference of two lines is what a layer costs.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from benchmarks import contestants, load
from benchmarks.harness import Bench, Figure
from benchmarks.processes import Program, cpu_seconds_of, programs
from taskmanager.logs import PAUSE

CONNECTIONS = 16
REFERENCE = "FastAPI, with the engine's types"
OURS = "taskmanager, as served: its log on"
METHODS = {
    "POST": "POST /tasks, until its job is done",
    "GET": "GET /tasks/{task_id}",
}
# Times the other checkout's, where there is one.
AT_MOST = 0.75


class Layer(NamedTuple):
    """What is served, and from where; beyond the common settings."""

    target: str
    # What the limiter is set to.
    rate_limit: object = 10**9
    root: Path = load.ROOT


LAYERS = {
    "uvicorn, and a route by hand": Layer("benchmarks.layers:by_hand"),
    "Starlette": Layer("benchmarks.layers:on_starlette"),
    "FastAPI, untyped": Layer("benchmarks.layers:on_fastapi"),
    REFERENCE: Layer("benchmarks.bare:app"),
    "taskmanager, no limiter, no log": Layer(load.FACTORY, "off"),
    "taskmanager, no log": Layer(load.FACTORY),
    OURS: Layer("main:app"),
}


@dataclass
class Server:
    """A program that serves, and the task that it was given first."""

    program: Program
    port: int
    task_id: str

    async def sample(self, bench: Bench, method: str) -> float:
        """µs of CPU time that a request takes."""
        message = load.http_request("GET", f"/tasks/{self.task_id}")
        expect = 200
        if method == "POST":
            message = load.http_request("POST", "/tasks", load.BODY)
            expect = 202

        before = cpu_seconds_of(self.program.pid)
        _, latencies = await load.hammer(
            self.port,
            message,
            connections=CONNECTIONS,
            seconds=bench.pick(0.02, 0.2, 0.3),
            expect=expect,
        )
        load.until_done(self.port)
        # The log is written a moment later.
        await asyncio.sleep(2 * PAUSE)
        taken = cpu_seconds_of(self.program.pid) - before
        return taken / len(latencies) * 1e6


async def run(bench: Bench) -> None:
    ways = {"plain uvicorn": contestants.PLAIN}
    missing = [name for name in ("uvloop", "httptools") if find_spec(name) is None]
    if missing:
        bench.left_out.append(
            f"{', '.join(missing)}: not installed; {contestants.HOW_TO_GET}"
        )
    else:
        ways["uvloop, httptools"] = contestants.STANDARD

    layers = {**LAYERS}
    other = contestants.BESIDE
    if other is not None:
        of_other = Layer("main:app", root=other)
        layers[f"taskmanager of {other.name}, as served"] = of_other

    for way, options in ways.items():
        with _serving(bench, layers, options) as servers:
            for method, what in METHODS.items():
                samples = {
                    name: partial(server.sample, bench, method)
                    for name, server in servers.items()
                }
                title = f"{what}, {way}: CPU time of the server's process"
                _table(bench, title, await bench.measure(f"{title}, µs", samples))


@contextmanager
def _serving(
    bench: Bench, layers: dict[str, Layer], options: list[str]
) -> Iterator[dict[str, Server]]:
    with programs() as together:
        servers = {}
        for name, layer in layers.items():
            bench.say(f"{name} starts")
            settings = {
                **contestants.SETTINGS,
                "work_scale": 0,
                "rate_limit": layer.rate_limit,
            }
            program, port = together.serve(
                layer.target,
                options,
                load.environment(**settings),
                layer.root,
            )
            task = json.loads(load.fetch(port, "POST", "/tasks", load.BODY))
            servers[name] = Server(program, port, task["task_id"])
        yield servers


def _table(bench: Bench, title: str, figures: dict[str, Figure]) -> None:
    """Each layer, and what it adds to the one above."""
    whole = figures[OURS].median
    above = 0.0
    rows: list[tuple[object, ...]] = []
    for name, figure in figures.items():
        added: object = figure.median - above
        share: object = f"{(figure.median - above) / whole:.0%}"
        if name not in LAYERS:
            added = ""
            share = ""
        above = figure.median
        ratio = figure.times(figures[REFERENCE])
        row = (
            name,
            figure.median,
            added,
            share,
            ratio,
        )
        rows.append(row)

        if name not in LAYERS:
            bench.target(
                f"{title}, times that of {name}",
                figures[OURS].times(figure),
                at_most=AT_MOST,
            )

    header = [
        "",
        "median, µs",
        "beyond the line above",
        "share of the engine's",
        f"ratio to {REFERENCE}",
    ]
    bench.table(title, header, rows)
