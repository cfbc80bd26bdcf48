"""What the tests share: an app with its lifespan entered, clients with
an address, and a real server.

Time: ``WORK_SCALE=0`` makes simulated work instant, gates
(asyncio.Event) order what happens, and freezegun moves windows and
retention. Nothing waits for real seconds but the few tests that need a
real process.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import freezegun
import httpx
import pytest
from fastapi import FastAPI

from taskmanager import handlers
from taskmanager.api import create_app
from taskmanager.manager import TaskManager
from taskmanager.settings import Settings

freezegun.configure(extend_ignore_list=["_pytest.timing"])
# once before any test freezes time: pydantic imports lazily, and breaks
# while frozen
create_app(Settings())

SUM = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}
REPORT = {"task_type": "generate_report", "parameters": {"title": "x", "sections": 2}}
PRIMES = {"task_type": "count_primes", "parameters": {"limit": 100}}
FAILURE = {"task_type": "simulate_failure", "parameters": {}}

Serve = Callable[..., contextlib.AbstractAsyncContextManager[httpx.AsyncClient]]


def settings(**changes: Any) -> Settings:
    """Settings for tests: instant work and no rate limit, unless a test
    asks for one.
    """
    return Settings(**({"work_scale": 0, "rate_limit": None} | changes))


def client_of(app: FastAPI, address: str = "10.0.0.1") -> httpx.AsyncClient:
    """An in-process client of a running app, seen by it at ``address``."""
    transport = httpx.ASGITransport(app=app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@contextlib.asynccontextmanager
async def running(
    executor: Executor | None = None, **changes: Any
) -> AsyncIterator[FastAPI]:
    """An app with these settings, its lifespan entered."""
    app = create_app(settings(**changes), executor=executor)
    async with app.router.lifespan_context(app):
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
    """Let everything that is ready run, without waiting for anything."""
    for _ in range(20):
        await asyncio.sleep(0)


class Gate:
    """Replaces the handlers: each task waits until it is let through,
    by its number of arrival.
    """

    def __init__(self) -> None:
        # the parameters of the tasks that handlers have begun
        self.arrived: list[Any] = []
        self.opened: list[asyncio.Event] = []

    async def run(
        self, task_type: str, parameters: Any, tools: handlers.Tools
    ) -> dict[str, Any]:
        opened = asyncio.Event()
        self.arrived.append(parameters)
        self.opened.append(opened)
        await opened.wait()
        return {"done": True}

    def open(self, number: int) -> None:
        self.opened[number].set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Handlers that hold their task until the test opens the gate for
    it.
    """
    gate = Gate()
    monkeypatch.setattr(handlers, "run", gate.run)
    return gate


@pytest.fixture
def handle_with(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[..., Awaitable[Any]]], None]:
    """Replace the handlers by one coroutine function ``run(task_type,
    parameters, tools)``.
    """
    return lambda run: monkeypatch.setattr(handlers, "run", run)


def project_root() -> Path:
    """The folder of the project."""
    return Path(__file__).parent.parent
