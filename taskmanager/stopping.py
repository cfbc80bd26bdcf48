"""Stopping: wakes whoever waits when the server is told to stop.

Rule: servers end the lifespan only when all responses have been sent,
and a long poll would hold that up for ten seconds, a half-sent body for
ever. So waiting ends at the signal itself. What else a server has to be
told, or whoever runs it, is told here, too. Notebook:
12-shutdown-and-faults.
"""

import asyncio
import logging
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import Scope

from taskmanager import logs
from taskmanager.estimate import IDLE_TIMEOUT
from taskmanager.executors import when_orphaned

logger = logging.getLogger(__name__)

# Seconds to read the rest of a response, where uvicorn was not given
# --timeout-graceful-shutdown.
GRACE = 1
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# In the scope of a request: its response is cut off at the signal.
CUT_OFF = "taskmanager.cut_off"
# The function of hypercorn's that ends when it begins to stop, and the
# seconds between two looks whether it runs yet.
HYPERCORN_WAITS = "raise_shutdown"
LOOK_INTERVAL = 0.1
OF_ITS_OWN = "process has tasks and rate limits of its own"


@asynccontextmanager
async def at_server_stop(
    stop: Callable[[], None],
) -> AsyncIterator[Callable[[Scope], None] | None]:
    """Call ``stop()`` in the running loop when the server is to stop.

    uvicorn, gunicorn and granian have set handlers of the signals when
    a lifespan starts: ours goes in front of them. What hypercorn starts
    gets no signal: there, we watch. Where there is neither, nothing is
    set up, and ``stop`` is never called.

    Yields what wants to see the first request, if anything does: only
    that tells the port.
    """
    loop = asyncio.get_running_loop()
    before = _signal_handlers()
    # uvicorn's handlers are its own methods.
    server = getattr(before.get(signal.SIGTERM), "__self__", None)
    if not isinstance(server, uvicorn.Server):
        server = None
    hypercorn = "hypercorn" in sys.modules

    def on_stop(*_: object) -> None:
        stop()
        if server is not None:
            _cut_off(server)

    def on_signal(number: int, frame: FrameType | None) -> None:
        # uvicorn reads this when it waits for the last responses, and
        # by default it would wait for ever for one that nobody reads.
        if server is not None and not server.config.timeout_graceful_shutdown:
            server.config.timeout_graceful_shutdown = GRACE
        loop.call_soon_threadsafe(on_stop)
        before[number](number, frame)

    with ExitStack() as ended:
        first = partial(_claim_port, ended) if before or hypercorn else None
        if server is not None and _configure(server.config):
            first = None

        # A loop that calls a server's handler does so whatever stands
        # here.
        for number, handler in before.items():
            signal.signal(number, on_signal)
            ended.callback(signal.signal, number, handler)

        if hypercorn:
            watching = asyncio.ensure_future(_hypercorn_stops())
            watching.add_done_callback(on_stop)
            ended.callback(watching.cancel)

        if before or hypercorn:
            # A parent that is killed, such as a reloader, sends no
            # signal.
            when_orphaned(
                loop.call_soon_threadsafe, signal.raise_signal, signal.SIGTERM
            )
            # The process ends by the signal itself, or as a child.
            # Python has no exit there, at which the last lines of the
            # log could be written.
            ended.callback(logs.ENDING.set)

        yield first


def _signal_handlers() -> dict[int, Callable[..., Any]]:
    """The server's handlers of the signals, if it has any.

    Only a main thread can set others.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}

    handlers = {}
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[int(number)] = handler
    # Python has one for SIGINT itself.
    return handlers if signal.SIGTERM in handlers else {}


def _configure(config: uvicorn.Config) -> bool:
    """Whether several processes serve, of which this one has warned."""
    # By default uvicorn closes a connection that is idle for 5 s. That
    # is what Retry-After often says, so the next request would meet the
    # closing.
    if config.timeout_keep_alive == 5:
        config.timeout_keep_alive = IDLE_TIMEOUT

    several = config.workers > 1 and not config.reload
    if several:
        logger.warning("each worker %s", OF_ITS_OWN)
    return several


def _claim_port(ended: ExitStack, scope: Scope) -> None:
    """Warn where another process serves this port, too.

    That is several workers, or two servers. Until the end, each holds
    the port's name as that of an abstract socket, which Linux gives to
    one process at a time.
    """
    _, port = scope.get("server") or (None, None)
    if port is None or sys.platform != "linux":
        return

    name = ended.enter_context(socket.socket(socket.AF_UNIX))
    try:
        name.bind(f"\0taskmanager {port} {scope['root_path']}")
    except OSError:
        logger.warning("another process serves port %s, too: each %s", port, OF_ITS_OWN)


def _cut_off(server: uvicorn.Server) -> None:
    """Close the connections whose responses are marked for that."""
    for connection in server.server_state.connections:
        # The request, and its response; a WebSocket has none.
        cycle = getattr(connection, "cycle", None)
        if cycle and CUT_OFF in cycle.scope and not cycle.response_complete:
            connection.transport.abort()


async def _hypercorn_stops() -> None:
    """Return when hypercorn begins to stop.

    It waits for its stop in tasks of its own, which it starts only once
    the lifespan has begun: they have to be looked for.
    """
    waits: list[asyncio.Task[Any]] = []
    while not waits:
        await asyncio.sleep(LOOK_INTERVAL)
        waits = [
            task
            for task in asyncio.all_tasks()
            if getattr(task.get_coro(), "__name__", "") == HYPERCORN_WAITS
        ]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
