"""At the signal that stops uvicorn, whoever waits is woken.

That is done in the loop, and before uvicorn waits for them.
"""

import asyncio
import logging
import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn

from taskmanager import logs
from taskmanager.estimate import IDLE_TIMEOUT
from taskmanager.stopping import CUT_OFF, GRACE, at_server_stop

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


async def test_under_another_server_nothing_is_replaced() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with at_server_stop(lambda: None):
        assert signal.getsignal(signal.SIGTERM) is before


async def test_in_a_thread_nothing_is_replaced(server: uvicorn.Server) -> None:
    async def enter() -> bool:
        async with at_server_stop(lambda: None):
            return signal.getsignal(signal.SIGTERM) == server.handle_exit

    assert await asyncio.to_thread(asyncio.run, enter())


async def test_another_servers_handler_is_left_alone() -> None:
    class Other:
        def handle_exit(self, number: int, frame: object) -> None:
            pass

    other = Other()
    before = signal.signal(signal.SIGTERM, other.handle_exit)
    try:
        async with at_server_stop(lambda: None):
            assert signal.getsignal(signal.SIGTERM) == other.handle_exit
    finally:
        signal.signal(signal.SIGTERM, before)
