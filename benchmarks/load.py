"""Requests: into an ASGI application in this process, or over loopback to a server in another.

Rule: in-process calls go to the application itself. An HTTP client's own work (httpx takes some 160 µs a request) would
hide what is measured.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from taskmanager.api import create_app
from taskmanager.manager import TaskManager
from taskmanager.settings import Settings

ROOT = Path(__file__).parent.parent
SUM = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}
BODY = json.dumps(SUM).encode()
RESULT = {"sum": 6}


@contextlib.asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[tuple[FastAPI, TaskManager]]:
    """The application with instant work and room for a benchmark, its lifespan entered; and its engine."""
    settings = Settings(**({"work_scale": 0, "queue_size": 1_000_000, "max_tasks": 2_000_000} | changes))
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app, app.state.manager
    # FastAPI keeps an app for as long as the process runs; what its engine holds is not to burden the next benchmark.
    del app.state.manager


def scope_of(method: str, path: str, client: str = "10.0.0.1", query: str = "") -> dict[str, Any]:
    """An ASGI scope, as uvicorn would make it for a small JSON request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": (client, 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


async def request(
    app: ASGIApp, method: str, path: str, *, body: bytes = b"", client: str = "10.0.0.1", query: str = ""
) -> tuple[int, bytes]:
    """One request; its status and body. The client stays connected until it has its answer."""
    sent: list[Message] = []
    to_receive: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if to_receive:
            return to_receive.pop()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return] # never disconnects

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope_of(method, path, client, query), receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def addresses() -> Iterator[str]:
    """Client addresses, each ten times: as many requests as the default rate limit lets through in a minute."""
    number = 0
    while True:
        yield f"10.{number // 655360 % 256}.{number // 2560 % 256}.{number // 10 % 256}"
        number += 1


async def until_idle(manager: TaskManager) -> None:
    """Wait until everything submitted has been processed."""
    while (stats := manager.stats())["queued"] or stats["processing"]:
        await asyncio.sleep(0)


@contextlib.contextmanager
def server(target: str = "taskmanager.api:create_app", **settings: object) -> Iterator[int]:
    """A real uvicorn in another process, on a free loopback port, which it yields; without log lines of tasks."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TASKMANAGER_")}
    environ |= {f"TASKMANAGER_{name.upper()}": str(value) for name, value in settings.items()}
    options = ["--factory"] if target.endswith("create_app") else []
    command = [sys.executable, "-m", "uvicorn", target, "--port", "0", "--no-access-log", *options]
    # Its log goes to a file: a pipe that nobody reads would fill up, and stop the server.
    with (
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(command, cwd=ROOT, env=environ, stderr=log) as process,
    ):
        try:
            yield _port_in(Path(log.name), process)
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()


def _port_in(log: Path, process: "subprocess.Popen[bytes]") -> int:
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start: {log.read_text()}")


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
    port: int, message: bytes, *, connections: int = 16, seconds: float = 1.0, expect: int = 200
) -> tuple[float, list[float]]:
    """The built-in load generator: requests/s over kept connections, and each latency in ms, for a bounded time."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def keep_asking() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while (begun := time.perf_counter()) < end:
                writer.write(message)
                status, _ = await read_response(reader)
                if status != expect:
                    raise RuntimeError(f"answered {status}, not {expect}")
                latencies.append((time.perf_counter() - begun) * 1000)
        finally:
            writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(keep_asking() for _ in range(connections)))
    return len(latencies) / (time.perf_counter() - begun), latencies


WRK = shutil.which("wrk")
_SCRIPT = """wrk.method, wrk.body = "{method}", '{body}'
wrk.headers["Content-Type"] = "application/json"
function done(summary) io.write(string.format("bad %d\\n", summary.errors.status)) end
"""


def wrk(port: int, method: str, path: str, body: bytes = b"", *, connections: int = 16, seconds: int = 1) -> float:
    """Requests/s by wrk, which costs less of this machine than any client in Python. Raises RuntimeError."""
    assert WRK is not None
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT.format(method=method, body=body.decode()))
        script.flush()
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name]
        command = [WRK, *options, f"http://127.0.0.1:{port}{path}"]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if found is None or "bad 0\n" not in output or "Socket errors" in output or found[1] == "0.00":
        raise RuntimeError(f"wrk: {output}")
    return float(found[1])
