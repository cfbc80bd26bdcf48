"""For tests, notebooks and benchmarks: virtual time, and applications
in this process.

Rule: a sleep of ten minutes takes no time, and exactly ten minutes by
every clock. Work in the threads of an executor holds time back, for 0.3
real seconds at most; other threads, processes and sockets do not.
It is a pytest plugin: ``pytest_plugins = ["taskmanager.testing"]``.
Nothing of the engine is imported here. Notebook:
09-cleanup-and-frozen-time.
"""

import asyncio
import contextlib
import inspect
import math
import selectors
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar
from unittest import mock

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

T = TypeVar("T")

# A browser has neither threads nor sockets.
THREADS = sys.platform != "emscripten"
# Real seconds that a job in an executor may hold time back: it may
# itself be waiting for the loop.
PATIENCE = 0.3
# What the wall clock shows when a VirtualLoop is new:
# 2026-01-01T00:00:00Z.
EPOCH = 1_767_225_600.0
DAY = 86_400.0  # seconds
NOTHING_LEFT = "Nothing is left that could wake this event loop."
JSON = (b"content-type", b"application/json")
# Okabe and Ito's palette, made for colour blindness, for plots.
COLOURS = [
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#000000",
]


# Virtual time


class LoneLoop(asyncio.SelectorEventLoop):
    """An event loop that nobody wakes from outside.

    It needs no socket for that, and what it hands to an executor, it
    does itself. Where there are threads, only tests need it. It is on
    real time, unless its ``selector`` says otherwise.
    """

    _ssock = None
    _csock = None

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        super().__init__(selector or SleepingSelector())

    def _make_self_pipe(self) -> None:
        pass

    def _close_self_pipe(self) -> None:
        pass

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        if executor is not None:
            return super().run_in_executor(executor, func, *args)

        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


_Loop = asyncio.SelectorEventLoop
if not (TYPE_CHECKING or THREADS):
    _Loop = LoneLoop


class VirtualLoop(_Loop):
    """An event loop whose ``time()`` starts at 0, and jumps.

    It is in seconds, and moves only when all that could run has run.
    """

    def __init__(self) -> None:
        self._now = 0.0
        # Jobs that executors have not finished.
        self.busy = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds
        # A timer is due that comes within this. After half a year, the
        # usual nanosecond is less than what can be added to a float.
        self._clock_resolution = max(1e-9, 2 * math.ulp(self._now))

    def turn(self) -> None:
        """Called before each of its turns, without threads."""

    def run_in_executor(self, *args: Any) -> Any:  # type: ignore[override]
        future = super().run_in_executor(*args)
        self.busy += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, future: Any) -> None:
        self.busy -= 1


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; where nothing is, jump instead of waiting.

        Without any timer, really wait: for another thread. Where there
        is none, raise RuntimeError.
        """
        if not self.get_map():
            return self._select_alone(timeout)
        if timeout is None or timeout <= 0:
            return super().select(timeout)

        ready = super().select(0)
        patience = PATIENCE
        while not ready and self._loop.busy and patience > 0:
            ready = super().select(0.01)
            patience -= 0.01

        if not ready:
            self._loop.jump(timeout)
        return ready

    def _select_alone(
        self, timeout: float | None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Select for a LoneLoop, which only a timer can wake."""
        if timeout is None:
            raise RuntimeError(NOTHING_LEFT)
        self._loop.turn()
        if timeout > 0:
            self._loop.jump(timeout)
        return []


class SleepingSelector(selectors.DefaultSelector):
    """That of a LoneLoop on real time."""

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError(NOTHING_LEFT)
        if timeout > 0:
            # In a browser, time.sleep would let another event loop run.
            inspect.unwrap(time.sleep)(timeout)
        return []


@contextlib.contextmanager
def clocks_of(loop: VirtualLoop) -> Iterator[None]:
    """Let Python's clocks show the loop's time.

    That holds for whoever calls them by these names.
    """
    clocks: dict[str, Any] = {
        "time": lambda: EPOCH + loop.time(),
        "monotonic": loop.time,
    }
    with mock.patch.multiple(time, **clocks):
        yield


def run_in_virtual_time(coroutine: Coroutine[Any, Any, T], limit: float = DAY) -> T:
    """Run ``coroutine`` on a new VirtualLoop, and return its result.

    Raises TimeoutError after ``limit`` virtual seconds.
    """
    loop = VirtualLoop()
    try:
        with clocks_of(loop):
            return loop.run_until_complete(asyncio.wait_for(coroutine, limit))
    finally:
        loop.close()


# Applications in this process


@contextlib.asynccontextmanager
async def running(app: "FastAPI") -> "AsyncIterator[FastAPI]":
    """The application, with its lifespan entered."""
    async with app.router.lifespan_context(app):
        yield app


def client_of(
    app: "FastAPI", address: str = "10.0.0.1", base_url: str = "http://test"
) -> "httpx.AsyncClient":
    """An httpx client of a running app, seen by it at ``address``.

    Raises ModuleNotFoundError where httpx is missing.
    """
    try:
        import httpx
    except ModuleNotFoundError:
        raise ModuleNotFoundError("client_of needs httpx: pip install httpx") from None

    transport = httpx.ASGITransport(app=app, client=(address, 50000))
    return httpx.AsyncClient(transport=transport, base_url=base_url)


def scope_of(
    method: str,
    path: str,
    client: str | None = "10.0.0.1",  # its address
    query: str = "",
    headers: list[tuple[bytes, bytes]] | None = None,
    port: int = 50000,  # of the client
) -> dict[str, Any]:
    """An ASGI scope, as uvicorn would make it.

    Without ``headers`` it is that of a small JSON request.
    """
    if headers is None:
        headers = [(b"host", b"localhost"), JSON]
    peer = None
    if client is not None:
        peer = (client, port)

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
        "headers": headers,
        "client": peer,
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


def receive_from(body: bytes, gone: asyncio.Event) -> Callable[[], Awaitable[Any]]:
    """The ``receive`` of a client that sends ``body``.

    It stays until ``gone``.
    """
    to_receive = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if to_receive:
            return to_receive.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


# For pytest


def __getattr__(name: str) -> Any:
    if name == "virtual_time":
        raise ModuleNotFoundError("virtual_time needs pytest: pip install pytest")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Whoever runs pytest has imported it by now; nobody else needs to wait
# for it.
if "pytest" in sys.modules:
    import pytest

    @pytest.fixture
    def virtual_time() -> Callable[[Coroutine[Any, Any, Any]], Any]:
        """``run_in_virtual_time``.

        The test hands it what it wants to await.
        """
        return run_in_virtual_time
