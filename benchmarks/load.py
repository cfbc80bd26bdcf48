"""Requests: into an ASGI application in this process, or over loopback
to a server in another.

Rule: in-process calls go to the application itself. An HTTP client's
own work (httpx takes some 160 µs a request) would hide what is
measured.
"""

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from benchmarks.harness import CheckFailedError
from taskmanager.api import create_app
from taskmanager.manager import TaskManager
from taskmanager.settings import Settings
from taskmanager.testing import scope_of as scope_of

ROOT = Path(__file__).parent.parent
SUM = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}
BODY = json.dumps(SUM).encode()
RESULT = {"sum": 6}
PATIENCE = 10.0  # seconds until what was accepted must be done


@contextlib.asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[tuple[FastAPI, TaskManager]]:
    """The application with instant work and room for a benchmark, its
    lifespan entered; and its engine.
    """
    settings = Settings(
        **({"work_scale": 0, "queue_size": 1_000_000, "max_tasks": 2_000_000} | changes)
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app, app.state.manager
    # FastAPI keeps an app for as long as the process runs; what its
    # engine holds is not to burden the next benchmark.
    del app.state.manager


async def request(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    client: str = "10.0.0.1",
    query: str = "",
) -> tuple[int, bytes]:
    """One request; its status and body. The client stays connected
    until it has its answer.
    """
    sent: list[Message] = []
    to_receive: list[Message] = [
        {"type": "http.request", "body": body, "more_body": False}
    ]

    async def receive() -> Message:
        if to_receive:
            return to_receive.pop()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return] # never disconnects

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope_of(method, path, client, query), receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def addresses() -> Iterator[str]:
    """Client addresses, each ten times: as many requests as the default
    rate limit lets through in a minute.
    """
    number = 0
    while True:
        yield f"10.{number // 655360 % 256}.{number // 2560 % 256}.{number // 10 % 256}"
        number += 1


async def until_idle(manager: TaskManager) -> None:
    """Wait until everything submitted has been processed. Raises
    CheckFailedError where that takes long.
    """
    end = time.monotonic() + PATIENCE
    while (stats := manager.stats())["queued"] or stats["processing"]:
        if time.monotonic() > end:
            raise CheckFailedError(f"after {PATIENCE:g} s, tasks are not done: {stats}")
        await asyncio.sleep(0)


# uvicorn's own command, but it ends when its stdin does: with the
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
    """For a server with these settings: this process's own, without
    what would set up a server otherwise.
    """
    others = re.compile("TASKMANAGER_|UVICORN_|WEB_CONCURRENCY")
    environ = {
        name: value for name, value in os.environ.items() if not others.match(name)
    }
    return environ | {
        f"TASKMANAGER_{name.upper()}": str(value) for name, value in settings.items()
    }


@contextlib.contextmanager
def server(
    target: str = "taskmanager.api:create_app", **settings: object
) -> Iterator[int]:
    """A real uvicorn in another process, on a free loopback port, which
    it yields; without log lines of tasks.
    """
    environ = environment(**settings)
    options = ["--factory"] if target.endswith("create_app") else []
    command = [
        sys.executable,
        "-c",
        _SERVE,
        target,
        "--port",
        "0",
        "--no-access-log",
        "--no-use-colors",
        *options,
    ]
    nowhere, pipe = subprocess.DEVNULL, subprocess.PIPE
    # Its log goes to a file: a pipe that nobody reads would fill up,
    # and stop the server.
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=pipe, stdout=nowhere, stderr=log
        ) as process,
    ):
        try:
            yield _port_in(log.fileno(), process)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()


def _port_in(log: int, process: "subprocess.Popen[bytes]") -> int:
    end, text = time.monotonic() + 30, b""
    while process.poll() is None and time.monotonic() < end:
        # to seek would move the server's place in it, too
        text = os.pread(log, 10_000, 0)
        if found := re.search(rb"running on http://127\.0\.0\.1:(\d+)", text):
            return int(found[1])
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start: {text.decode(errors='replace')}")


def fetch(port: int, method: str, path: str, body: bytes = b"") -> bytes:
    """One request to a server, on a connection of its own; the body of
    its answer. Raises CheckFailedError.
    """
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    ) as connection:
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
    while (stats := json.loads(fetch(port, "GET", "/health")))["queued"] or stats[
        "processing"
    ]:
        if time.monotonic() > end:
            raise CheckFailedError(f"after {PATIENCE:g} s, tasks are not done: {stats}")
        time.sleep(0.002)


def connections_allowed(wanted: int) -> int:
    """How many connections to a server the limit of open files leaves;
    it is raised towards those wanted, for both.
    """
    if sys.platform == "win32":
        return min(wanted, 500)
    import resource

    others = 40  # files that a process has open besides
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + others:
        soft = (
            wanted + others
            if hard == resource.RLIM_INFINITY
            else min(hard, wanted + others)
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(0, min(wanted, soft - others))


def http_request(method: str, path: str, body: bytes = b"") -> bytes:
    """The bytes of a request on a connection that is kept."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and body of a response that says its length."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    return int(head[9:12]), await reader.readexactly(int(found[1]) if found else 0)


async def hammer(
    port: int,
    message: bytes,
    *,
    connections: int = 16,
    seconds: float = 1.0,
    expect: int = 200,
    body: bytes | None = None,
) -> tuple[float, list[float]]:
    """The load generator: requests/s over kept connections, and each
    latency in ms, for a bounded time.

    Raises CheckFailedError where an answer has not the expected status
    or, if given, body.
    """
    streams = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", port) for _ in range(connections))
    )
    latencies: list[float] = []
    begun = time.perf_counter()

    async def keep_asking(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while (asked := time.perf_counter()) < begun + seconds:
            writer.write(message)
            answer = await read_response(reader)
            latencies.append((time.perf_counter() - asked) * 1000)
            if answer[0] != expect or body not in (None, answer[1]):
                raise CheckFailedError(
                    f"answered {answer}, not {expect} {body or ''!r}"
                )

    try:
        await asyncio.gather(*(keep_asking(*stream) for stream in streams))
        return len(latencies) / (time.perf_counter() - begun), latencies
    finally:
        for _, writer in streams:
            writer.close()


WRK = shutil.which("wrk")
_SCRIPT = """wrk.method, wrk.body = "{method}", '{body}'
wrk.headers["Content-Type"] = "application/json"
function done(summary) io.write(string.format("bad %d\\n", summary.errors.status)) end
"""


def wrk(
    port: int, method: str, path: str, body: bytes = b"", *, connections: int
) -> tuple[int, float]:
    """The load generator wrk, for a second: how many requests, and
    requests/s. Raises RuntimeError.
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
        output = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=30
        ).stdout
    count, rate = (
        re.search(r"(\d+) requests in", output),
        re.search(r"Requests/sec:\s+([\d.]+)", output),
    )
    if (
        count is None
        or rate is None
        or "bad 0\n" not in output
        or "Socket errors" in output
        or count[1] == "0"
    ):
        raise RuntimeError(f"wrk: {output}")
    return int(count[1]), float(rate[1])
