"""What several test modules share.

Applications with their lifespan entered, clients with an address,
gates, a real server.

Time: ``WORK_SCALE=0`` makes simulated work instant, gates
(asyncio.Event) order what happens, and freezegun moves windows and
retention. Nothing waits for real seconds but the few tests that need a
real process.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from benchmarks.load import environment
from taskmanager import task_types, testing
from taskmanager.api import create_app
from taskmanager.manager import TaskManager
from taskmanager.settings import Settings
from taskmanager.task import Task
from taskmanager.task_types import ComputeSum
from taskmanager.testing import EPOCH
from taskmanager.testing import client_of as client_of

SUM = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}
REPORT = {"task_type": "generate_report", "parameters": {"title": "x", "sections": 2}}
PRIMES = {"task_type": "count_primes", "parameters": {"limit": 100}}
FAILURE = {"task_type": "simulate_failure", "parameters": {}}
# An id that no task has.
UNKNOWN = "00000000-0000-4000-8000-000000000000"

# So many times as many examples are made up.
FUZZ = int(os.environ.get("FUZZ", "1"))


def project_root() -> Path:
    """The folder of the project."""
    return Path(__file__).parent.parent


def settings(**changes: Any) -> Settings:
    """Settings for tests: instant work and no rate limit.

    A test may ask for others.
    """
    defaults: dict[str, Any] = {"work_scale": 0, "rate_limit": None}
    return Settings(**(defaults | changes))


@contextlib.asynccontextmanager
async def running(
    executor: Executor | None = None, **changes: Any
) -> AsyncIterator[FastAPI]:
    """An app with these settings, its lifespan entered."""
    app = create_app(settings(**changes), executor=executor)
    async with testing.running(app):
        yield app


@contextlib.asynccontextmanager
async def serving(
    executor: Executor | None = None, **changes: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app with these settings."""
    async with running(executor, **changes) as app, client_of(app) as client:
        yield client


@contextlib.asynccontextmanager
async def managing(
    executor: Executor | None = None, **changes: Any
) -> AsyncIterator[TaskManager]:
    """The engine alone, running."""
    async with TaskManager(settings(**changes), executor=executor) as manager:
        yield manager


async def settle() -> None:
    """Let everything run that is ready, and wait for nothing."""
    for _ in range(20):
        await asyncio.sleep(0)


class Gate:
    """Replaces the handlers: each task waits until it is let through.

    Tasks are told apart by their number of arrival.
    """

    def __init__(self) -> None:
        # The parameters of the tasks that handlers have begun.
        self.arrived: list[Any] = []
        self.opened: list[asyncio.Event] = []

    async def run(
        self, task_type: str, parameters: Any, tools: task_types.Tools
    ) -> dict[str, Any]:
        opened = asyncio.Event()
        self.arrived.append(parameters)
        self.opened.append(opened)

        await opened.wait()
        return {"done": True}

    def open(self, number: int) -> None:
        self.opened[number].set()


def new_task(number: int = 0, place: float = 0.0) -> Task:
    return Task(
        task_id=f"task-{number}",
        task_type="compute_sum",
        parameters=ComputeSum(numbers=[1]),
        priority="normal",
        number=number,
        place=(place, number),
        expected_seconds=5.0,
        created_at="2026-01-01T00:00:00.000Z",
        clock_offset=EPOCH,
        status_since=0.0,
    )


def chunked(*parts: bytes) -> AsyncIterator[bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return stream()


def budget(examples: int, **changes: Any) -> hypothesis_settings:
    """Settings for FUZZ times so many examples, and for any machine.

    A failure is soon shown, one at a time.
    """
    given: dict[str, Any] = {
        "max_examples": examples * FUZZ,
        "deadline": None,
        "suppress_health_check": [HealthCheck.too_slow],
        "report_multiple_bugs": False,
        "phases": [Phase.explicit, Phase.generate, Phase.shrink],
        "derandomize": FUZZ == 1,
        "database": None,
    }
    return hypothesis_settings(**(given | changes))


class Server:
    """A running server; its stderr is collected in ``lines``."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []

        self._started = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._started.wait(20), self.lines

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            found = re.search(r"running on http://127.0.0.1:(\d+)", line)
            if found is not None:
                self.port = int(found[1])
                self._started.set()

    def request(self, path: str, submission: dict[str, Any] | None = None) -> Any:
        data = None if submission is None else json.dumps(submission).encode()
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def connect(self, text: str = "") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(text.replace("\n", "\r\n").encode())
        return connection

    def until(self, name: str, value: object) -> None:
        """Wait, for 20 s at most, until /health shows this."""
        for _ in range(2000):
            if self.request("/health")[name] == value:
                return
            time.sleep(0.01)

        raise AssertionError(self.request("/health"))

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send the signal; the seconds until the process has ended."""
        start = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(20)
        took = time.monotonic() - start

        self._reader.join(20)
        return took


@contextlib.contextmanager
def uvicorn(*options: str, **settings: str) -> Iterator[Server]:
    """A real ``uvicorn main:app``, without a rate limit by default."""
    environ = environment(**({"RATE_LIMIT": "off"} | settings))
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "main:app",
        "--port",
        "0",
        "--no-use-colors",
        *options,
    ]

    with subprocess.Popen(
        command,
        cwd=project_root(),
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            server = Server(process)
            yield server
        finally:
            if process.poll() is None:
                server.stop()
            # What a fault has left would hold its stderr open.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


# What a learner may write, and never ends


async def gives_way() -> None:
    while True:
        await asyncio.sleep(0)  # gives way


async def never_awaits() -> None:
    turns = 0
    while True:
        turns += 1  # works


async def catches_all() -> None:
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(0)  # catches all
