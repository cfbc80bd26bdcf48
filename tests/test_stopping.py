"""At the signal that stops the server, whoever waits is woken.

That is done in the loop, and before the server waits for them. What
other servers really do is played by ``python -m tests.interop``.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Coroutine, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn

from taskmanager import logs, stopping
from taskmanager.estimate import IDLE_TIMEOUT
from taskmanager.stopping import CUT_OFF, GRACE, at_server_stop
from tests.helpers import client_of, running, settle

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="raises POSIX signals")


@pytest.fixture
def server() -> Iterator[uvicorn.Server]:
    """A server whose signal handlers are set.

    They are when a lifespan starts.
    """
    server = uvicorn.Server(uvicorn.Config("main:app"))
    before = {
        number: signal.signal(number, server.handle_exit)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    yield server

    for number, handler in before.items():
        signal.signal(number, handler)
    logs.ENDING.clear()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_signal_stops_both(server: uvicorn.Server, number: int) -> None:
    stopped: list[asyncio.AbstractEventLoop] = []
    async with at_server_stop(lambda: stopped.append(asyncio.get_running_loop())):
        signal.raise_signal(number)
        assert server.should_exit
        # A signal handler may run anywhere: the stop waits for its turn
        # in the loop.
        assert not stopped

        await asyncio.sleep(0)
        assert stopped == [asyncio.get_running_loop()]
        assert server.config.timeout_graceful_shutdown == GRACE

    assert signal.getsignal(number) == server.handle_exit


async def test_the_grace_that_uvicorn_was_given_is_kept(server: uvicorn.Server) -> None:
    server.config.timeout_graceful_shutdown = 30
    async with at_server_stop(lambda: None):
        signal.raise_signal(signal.SIGTERM)
        assert server.config.timeout_graceful_shutdown == 30


async def test_only_what_is_marked_is_cut_off(server: uvicorn.Server) -> None:
    def connection(scope: dict[str, Any], complete: bool) -> Any:
        cycle = SimpleNamespace(scope=scope, response_complete=complete)
        return Mock(cycle=cycle)

    listing = connection({CUT_OFF: True}, False)
    others = [
        connection({CUT_OFF: True}, True),
        connection({}, False),
        # Nothing was asked for yet; a WebSocket.
        Mock(cycle=None),
        Mock(spec=["transport"]),
    ]
    server.server_state.connections = {listing, *others}

    log = []
    listing.transport.abort.side_effect = lambda: log.append("cut off")
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: log.append(str(context))
    )
    async with at_server_stop(lambda: log.append("stopped")):
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)

    assert log == ["stopped", "cut off"]
    assert not any(other.transport.abort.called for other in others)


@pytest.mark.parametrize(
    ("given", "then"),
    [
        (5, IDLE_TIMEOUT),
        (4, 4),
        (6, 6),
        (0, 0),
        (3600, 3600),
    ],
)
async def test_an_idle_connection_is_kept_longer_than_by_default(
    server: uvicorn.Server, given: int, then: int
) -> None:
    server.config.timeout_keep_alive = given
    async with at_server_stop(lambda: None):
        assert server.config.timeout_keep_alive == then


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_connections_made_later_are_kept_that_long(
    server: uvicorn.Server, http: str
) -> None:
    if http == "httptools":
        pytest.importorskip("httptools")
    async with at_server_stop(lambda: None):
        server.config.http = http
        server.config.lifespan = "off"
        server.config.load()
        connection: Any = server.config.http_protocol_class(
            config=server.config,  # type: ignore[call-arg]
            server_state=server.server_state,
            app_state={},
        )
        assert connection.timeout_keep_alive == IDLE_TIMEOUT


@pytest.mark.parametrize(
    ("workers", "reload", "warned"),
    [
        (1, False, False),
        (2, False, True),
        (2, True, False),
        (1, True, False),
    ],
)
async def test_several_worker_processes_are_warned_of(
    server: uvicorn.Server,
    workers: int,
    reload: bool,
    warned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.config.workers = workers
    server.config.reload = reload
    async with at_server_stop(lambda: None):
        messages = [record.message for record in caplog.records]
        own = "each worker process has tasks and rate limits of its own"
        assert messages == [own] * warned
        assert all(each.levelno == logging.WARNING for each in caplog.records)


async def test_at_the_end_of_the_lifespan_the_log_is_written_at_once(
    server: uvicorn.Server,
) -> None:
    async with at_server_stop(lambda: None):
        assert not logs.ENDING.is_set()
    assert logs.ENDING.is_set()


async def test_the_end_of_a_reloader_stops_both(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    reloader = SimpleNamespace(join=ended.wait)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: reloader)
    stopped = asyncio.Event()
    async with at_server_stop(stopped.set):
        assert not server.should_exit
        ended.set()
        await asyncio.wait_for(stopped.wait(), 5)
        assert server.should_exit


async def test_without_a_server_nothing_is_replaced() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with at_server_stop(lambda: None) as sees_first:
        assert signal.getsignal(signal.SIGTERM) is before
        assert sees_first is None
    assert not logs.ENDING.is_set()


async def test_in_a_thread_nothing_is_replaced(server: uvicorn.Server) -> None:
    async def enter() -> bool:
        async with at_server_stop(lambda: None):
            return signal.getsignal(signal.SIGTERM) == server.handle_exit

    assert await asyncio.to_thread(asyncio.run, enter())


# Other servers


class Nameless(Coroutine[Any, Any, None]):
    """A coroutine without a ``__name__``, which goes on for ever."""

    def send(self, value: Any) -> None: ...

    def throw(self, *exc_info: Any) -> None:
        raise asyncio.CancelledError

    def close(self) -> None: ...

    def __await__(self) -> Any:
        return self


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ours_goes_in_front_of_another_servers_handler(
    server: uvicorn.Server, number: int
) -> None:
    log = []

    def handle(number: int, frame: object) -> None:
        log.append(f"signal {number}")

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, handle)
    async with at_server_stop(lambda: log.append("stopped")):
        signal.raise_signal(number)
        await asyncio.sleep(0)
        assert log == [f"signal {number}", "stopped"]

    assert signal.getsignal(number) is handle
    assert logs.ENDING.is_set()


async def test_a_handler_that_the_loop_calls_is_called(server: uvicorn.Server) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    try:
        async with at_server_stop(stopped.set):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(told.wait(), 5)
            await asyncio.wait_for(stopped.wait(), 5)

            # The loop listens as before.
            told.clear()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(told.wait(), 5)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_a_signal_that_is_ignored_stays_so(server: uvicorn.Server) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    async with at_server_stop(lambda: None):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) != server.handle_exit


async def test_python_has_a_handler_of_its_own_for_ctrl_c() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        async with at_server_stop(lambda: None):
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def watched_hypercorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypercorn is there, and looked at in each turn of the loop."""
    monkeypatch.setitem(sys.modules, "hypercorn", Mock())
    monkeypatch.setattr(stopping, "LOOK_INTERVAL", 0)


@pytest.mark.usefixtures("watched_hypercorn")
async def test_hypercorn_gets_no_signal_and_is_watched() -> None:
    told = asyncio.Event()
    stopped = asyncio.Event()

    async def raise_shutdown() -> None:
        """As hypercorn.utils.raise_shutdown does."""
        await told.wait()
        raise RuntimeError

    async with at_server_stop(stopped.set):
        await settle()
        waits = asyncio.create_task(raise_shutdown())
        await settle()
        assert not stopped.is_set()

        told.set()
        await asyncio.wait_for(stopped.wait(), 5)
        assert isinstance(waits.exception(), RuntimeError)
    assert logs.ENDING.is_set()
    logs.ENDING.clear()


@pytest.mark.usefixtures("watched_hypercorn")
async def test_of_several_that_wait_the_first_to_end_tells_the_stop() -> None:
    told = asyncio.Event()
    stopped = asyncio.Event()

    async def raise_shutdown(wait: Any) -> None:
        await wait()

    async with at_server_stop(stopped.set):
        # A task may also run what has no name, as Cython's do.
        nameless = asyncio.create_task(Nameless())
        one = asyncio.create_task(raise_shutdown(told.wait))
        other = asyncio.create_task(raise_shutdown(asyncio.Event().wait))
        await settle()
        assert not stopped.is_set()

        told.set()
        await asyncio.wait_for(stopped.wait(), 5)
        assert one.done()
        assert not nameless.done()
        assert not other.done()

        nameless.cancel()
        other.cancel()
        await asyncio.wait([nameless, other])
    logs.ENDING.clear()


async def test_a_watch_that_saw_no_stop_ends_with_the_lifespan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "hypercorn", Mock())
    others = asyncio.all_tasks()
    async with at_server_stop(lambda: None):
        await settle()
        (watching,) = asyncio.all_tasks() - others
    await settle()
    assert watching.cancelled()
    logs.ENDING.clear()


# Several processes, and one port


@pytest.mark.skipif(sys.platform != "linux", reason="has no abstract sockets")
async def test_two_that_serve_one_port_are_warned_of(
    server: uvicorn.Server, caplog: pytest.LogCaptureFixture
) -> None:
    # That of a client, so that no other test has it.
    with socket.create_server(("127.0.0.1", 0)) as free:
        _, port = free.getsockname()
        scope = {"server": ("127.0.0.1", port), "root_path": ""}
        async with at_server_stop(lambda: None) as one:
            assert one is not None
            one(scope)
            assert not caplog.records

            # The whole machine has that port once, and a mounted
            # application is another one.
            async with at_server_stop(lambda: None) as mounted:
                assert mounted is not None
                mounted(scope | {"root_path": "/jobs"})
                assert not caplog.records

            async with at_server_stop(lambda: None) as other:
                assert other is not None
                other(scope | {"server": ("::1", port)})
                assert [record.message for record in caplog.records] == [
                    f"another process serves port {port}, too: "
                    "each process has tasks and rate limits of its own"
                ]

        # The port is free again.
        caplog.clear()
        async with at_server_stop(lambda: None) as later:
            assert later is not None
            later(scope)
        assert not caplog.records


@pytest.mark.parametrize("address", [None, ("/run/tasks.sock", None)])
async def test_a_server_without_a_port_is_warned_of_nothing(
    server: uvicorn.Server,
    address: tuple[str, None] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scope = {"server": address, "root_path": ""}
    for _ in range(2):
        async with (
            at_server_stop(lambda: None) as one,
            at_server_stop(lambda: None) as other,
        ):
            assert one is not None
            assert other is not None
            one(scope)
            other(scope)
    assert not caplog.records


async def test_workers_that_were_warned_of_are_not_looked_for(
    server: uvicorn.Server,
) -> None:
    server.config.workers = 2
    async with at_server_stop(lambda: None) as sees_first:
        assert sees_first is None


async def test_the_first_request_alone_is_shown() -> None:
    seen: list[dict[str, Any]] = []
    async with running() as app, client_of(app) as client:
        app.state.sees_first = seen.append
        await client.get("/health")
        await client.get("/health")

    (scope,) = seen
    assert scope["path"] == "/health"
