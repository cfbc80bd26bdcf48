"""Requests: into an application here, or over loopback to a server.

Rule: in-process calls go to the application itself. An HTTP client's
own work (httpx takes some 160 µs a request) would hide what is
measured.
"""

import asyncio
import contextlib
import http.client
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI
from pydantic_core import from_json
from starlette.types import ASGIApp, Message

from benchmarks.harness import CheckFailedError
from taskmanager.api import create_app
from taskmanager.logs import JsonFormatter
from taskmanager.manager import TaskManager
from taskmanager.settings import Settings
from taskmanager.testing import scope_of as scope_of

ROOT = Path(__file__).parent.parent
# The application without its log; uvicorn is told that it is a factory.
FACTORY = "taskmanager.api:create_app"
SUM = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}
BODY = json.dumps(SUM).encode()
RESULT = {"sum": 6}
# Seconds until what was accepted must be done.
PATIENCE = 10.0
# Files that a process has open beside its connections.
OTHER_FILES = 40


# Into an application in this process


@contextlib.asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[tuple[FastAPI, TaskManager]]:
    """The application, its lifespan entered, and its engine.

    It has instant work and room for a benchmark.
    """
    values: dict[str, Any] = {
        "work_scale": 0,
        "queue_size": 1_000_000,
        "max_tasks": 2_000_000,
    }
    values.update(changes)
    app = create_app(Settings(**values))
    async with app.router.lifespan_context(app):
        yield app, app.state.manager

    # FastAPI keeps an app for as long as the process runs; what its
    # engine holds is not to burden the next benchmark.
    del app.state.manager


class _GatheringHandler(logging.FileHandler):
    """Lines gather before they are written, as when they are served.

    There, a thread writes them a moment later; here, that would be
    while somebody else is measured.
    """

    def flush(self) -> None:
        """Leave it to the file to write what it has."""


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """The engine's log into a file, in the form in which it is served.

    Elsewhere, log lines are off.
    """
    engine = logging.getLogger("taskmanager")
    level = engine.level
    with tempfile.TemporaryDirectory() as folder:
        handler = _GatheringHandler(Path(folder, "log"))
        handler.setFormatter(JsonFormatter())
        engine.addHandler(handler)
        engine.setLevel(logging.INFO)
        disabled = engine.manager.disable
        logging.disable(logging.NOTSET)
        try:
            yield
        finally:
            logging.disable(disabled)
            engine.setLevel(level)
            engine.removeHandler(handler)
            handler.close()


async def request(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    client: str = "10.0.0.1",
    query: str = "",
) -> tuple[int, bytes]:
    """One request; its status and body.

    The client stays connected until it has its answer.
    """
    sent: list[Message] = []
    to_receive: list[Message] = [
        {"type": "http.request", "body": body, "more_body": False}
    ]

    async def receive() -> Message:
        if to_receive:
            return to_receive.pop()
        # It never disconnects.
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope_of(method, path, client, query), receive, send)
    start, *parts = sent
    return start["status"], b"".join(part.get("body", b"") for part in parts)


def address(number: int) -> str:
    """The client address with this number, up to 2 ** 24."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def addresses() -> Iterator[str]:
    """Client addresses, each ten times.

    As many requests as the default rate limit lets through in a minute.
    """
    number = 0
    while True:
        yield address(number // 10)
        number += 1


async def until_idle(manager: TaskManager) -> None:
    """Wait until everything submitted has been processed.

    Raises CheckFailedError where that takes long.
    """
    end = time.monotonic() + PATIENCE
    while True:
        stats = manager.stats()
        if not stats["queued"] and not stats["processing"]:
            return
        _check_patience(end, stats)
        await asyncio.sleep(0)


def _check_patience(end: float, stats: object) -> None:
    if time.monotonic() > end:
        raise CheckFailedError(f"after {PATIENCE:g} s, tasks are not done: {stats}")


# Over loopback to a server in another process

# The command of uvicorn, but it ends when its stdin does: with the
# process that started it, however that ends.
_SERVE = """
import os, signal, sys, threading, uvicorn
def stop_at_the_end():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=stop_at_the_end, daemon=True).start()
uvicorn.main()
"""


def environment(**settings: object) -> dict[str, str]:
    """The environment variables of a server with these settings.

    They are this process's own, without what would set up a server
    otherwise.
    """
    others = re.compile("TASKMANAGER_|UVICORN_|WEB_CONCURRENCY")
    environ = {
        name: value for name, value in os.environ.items() if not others.match(name)
    }
    for name, value in settings.items():
        environ[f"TASKMANAGER_{name.upper()}"] = str(value)
    return environ


@contextlib.contextmanager
def server(target: str = FACTORY, **settings: object) -> Iterator[int]:
    """A real uvicorn in another process; yields its free loopback port.

    It writes no log lines of tasks.
    """
    command = [
        sys.executable,
        "-c",
        _SERVE,
        target,
        "--port",
        "0",
        "--no-access-log",
        "--no-use-colors",
    ]
    if target == FACTORY:
        command.append("--factory")

    with contextlib.ExitStack() as stack:
        # Its log goes to a file: a pipe that nobody reads would fill
        # up, and stop the server.
        log = stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(**settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        stack.enter_context(process)
        try:
            yield _port_in(log.fileno(), process)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()


def _port_in(log: int, process: "subprocess.Popen[bytes]") -> int:
    end = time.monotonic() + 30
    text = b""
    while process.poll() is None and time.monotonic() < end:
        # To seek would move the server's place in it, too.
        text = os.pread(log, 10_000, 0)
        found = re.search(rb"running on http://127\.0\.0\.1:(\d+)", text)
        if found:
            return int(found[1])
        time.sleep(0.02)

    said = text.decode(errors="replace")
    raise RuntimeError(f"the server did not start: {said}")


def fetch(port: int, method: str, path: str, body: bytes = b"") -> bytes:
    """One request to a server; the body of its answer.

    It has a connection of its own. Raises CheckFailedError.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()

    if answer.status >= 300:
        raise CheckFailedError(f"{method} {path} was answered {answer.status}")
    return content


def until_done(port: int) -> None:
    """Wait until a server has processed everything that it accepted.

    Raises CheckFailedError where that takes long.
    """
    end = time.monotonic() + PATIENCE
    while True:
        stats = json.loads(fetch(port, "GET", "/health"))
        if not stats["queued"] and not stats["processing"]:
            return
        _check_patience(end, stats)
        time.sleep(0.002)


def connections_allowed(wanted: int) -> int:
    """How many connections to a server the limit of open files leaves.

    It is raised towards those wanted, for both.
    """
    if sys.platform == "win32":
        return min(wanted, 500)
    import resource

    needed = wanted + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(0, min(wanted, soft - OTHER_FILES))


def http_request(method: str, path: str, body: bytes = b"") -> bytes:
    """The bytes of a request on a connection that is kept."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


class Answer(NamedTuple):
    """A response that has been read."""

    status: int
    body: bytes


async def read_response(reader: asyncio.StreamReader) -> Answer:
    """A response that says its length."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    length = int(found[1]) if found else 0
    body = await reader.readexactly(length)

    # The first line is as "HTTP/1.1 200 OK".
    status = int(head[9:12])
    return Answer(status, body)


async def hammer(
    port: int,
    message: bytes,
    *,
    connections: int = 16,
    seconds: float = 1.0,
    expect: int = 200,
    body: bytes | None = None,
) -> tuple[float, list[float]]:
    """The load generator: requests/s, and each latency in ms.

    It asks over kept connections, for a bounded time. Raises
    CheckFailedError where an answer has not the expected status or, if
    given, body.
    """
    opening = [asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    streams = await asyncio.gather(*opening)
    latencies: list[float] = []
    begun = time.perf_counter()

    async def keep_asking(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            asked = time.perf_counter()
            if asked >= begun + seconds:
                return

            writer.write(message)
            answer = await read_response(reader)
            latencies.append((time.perf_counter() - asked) * 1000)
            if answer.status != expect or body not in (None, answer.body):
                wanted = b"" if body is None else body
                raise CheckFailedError(f"answered {answer}, not {expect} {wanted!r}")

    try:
        await asyncio.gather(*(keep_asking(*stream) for stream in streams))
        return len(latencies) / (time.perf_counter() - begun), latencies
    finally:
        for _, writer in streams:
            writer.close()


# Jobs: from handing one in to its known result

# What a job's end is called that brings no result.
UNDONE = {
    "aborted",
    "cancelled",
    "failed",
    "failure",
}


class JobUndoneError(CheckFailedError):
    """A job was accepted, and has come to an end without a result."""


class Job(NamedTuple):
    """What a client sends and expects, for one job."""

    number: int
    body: bytes
    result: dict[str, int]


@dataclass
class Known:
    """Jobs whose results are known, and what that took."""

    # From sending a job to the answer with its result, in ms.
    latencies: list[float] = field(default_factory=list)
    # Jobs a second: each client's own, added up.
    rate: float = 0.0
    requests: int = 0


async def do_jobs(
    port: int,
    jobs: Iterator[Job],
    *,
    clients: int,
    seconds: float,
    query: str = "",
    pause: float = 0.0,
    patience: float | None = None,
) -> Known:
    """Have each client do one job after the other, for some seconds.

    It does one at least: it sends a job, then asks for its result until
    that is known, with a pause after each answer that does not have it.
    Its last job is waited for. Raises CheckFailedError where a result
    is wrong, or takes longer than ``patience``.
    """
    known = Known()
    if patience is None:
        patience = PATIENCE

    opening = [asyncio.open_connection("127.0.0.1", port) for _ in range(clients)]
    streams = await asyncio.gather(*opening)
    begun = time.perf_counter()

    async def client(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        done = 0
        now = time.perf_counter()
        while not done or now < begun + seconds:
            job = next(jobs)
            sent = now
            requests = await _until_known(reader, writer, job, query, pause, patience)
            now = time.perf_counter()
            known.requests += requests
            known.latencies.append((now - sent) * 1000)
            done += 1
        known.rate += done / (now - begun)

    try:
        await asyncio.gather(*(client(*stream) for stream in streams))
        return known
    finally:
        for _, writer in streams:
            writer.close()


async def _until_known(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    job: Job,
    query: str,
    pause: float,
    patience: float,
) -> int:
    """Do one job; the number of requests that it took."""
    writer.write(http_request("POST", "/tasks", job.body))
    answer = await read_response(reader)
    if answer.status != 202:
        raise CheckFailedError(f"a job was answered {answer}")

    task = from_json(answer.body)
    ask = http_request("GET", f"/tasks/{task['task_id']}{query}")
    end = time.perf_counter() + patience
    requests = 1
    while True:
        writer.write(ask)
        answer = await read_response(reader)
        requests += 1
        task = from_json(answer.body)
        if task.get("result") is not None:
            break

        if task.get("status") in UNDONE:
            raise JobUndoneError(f"{job} was answered {answer}")
        if answer.status != 200 or time.perf_counter() > end:
            raise CheckFailedError(f"a job was answered {answer}")
        if pause:
            await asyncio.sleep(pause)

    right = task["status"] == "completed" and task["result"] == job.result
    if not right:
        raise CheckFailedError(f"{job} was answered {answer}")
    return requests


# By wrk, where it is installed

WRK = shutil.which("wrk")
_SCRIPT = """wrk.method, wrk.body = "{method}", '{body}'
wrk.headers["Content-Type"] = "application/json"
function done(summary) io.write(string.format("bad %d\\n", summary.errors.status)) end
"""


def wrk(
    port: int, method: str, path: str, body: bytes = b"", *, connections: int
) -> tuple[int, float]:
    """The load generator wrk, for a second: requests, and requests/s.

    Raises RuntimeError.
    """
    assert WRK is not None
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT.format(method=method, body=body.decode()))
        script.flush()
        command = [
            WRK,
            "-t1",
            f"-c{connections}",
            "-d1s",
            "-s",
            script.name,
            f"http://127.0.0.1:{port}{path}",
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=30
        )

    output = done.stdout
    if "bad 0\n" not in output or "Socket errors" in output:
        raise RuntimeError(f"wrk: {output}")
    count = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if count is None or rate is None or count[1] == "0":
        raise RuntimeError(f"wrk: {output}")
    return int(count[1]), float(rate[1])
