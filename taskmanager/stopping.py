"""Stopping: wakes whoever waits when uvicorn is told to stop.

Rule: uvicorn ends the lifespan only when all responses have been sent,
and a long poll would hold that up for ten seconds, a half-sent body for
ever. So waiting ends at the signal itself. What else uvicorn has to be
told is told here, too. Notebook: 11-shutdown-and-faults.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType

import uvicorn

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


@asynccontextmanager
async def at_server_stop(stop: Callable[[], None]) -> AsyncIterator[None]:
    """Call ``stop()`` in the running loop when uvicorn is to stop.

    That is at the signal. Under another server it is never called, and
    nothing is set up.
    """
    loop = asyncio.get_running_loop()
    server = _server()
    if server is None:
        yield
        return

    # By default uvicorn closes a connection that is idle for 5 s. That
    # is what Retry-After often says, so the next request would meet the
    # closing.
    config = server.config
    if config.timeout_keep_alive == 5:
        config.timeout_keep_alive = IDLE_TIMEOUT
    if config.workers > 1 and not config.reload:
        logger.warning("each worker process has tasks and rate limits of its own")

    def on_stop() -> None:
        stop()
        for connection in server.server_state.connections:
            # The request, and its response; a WebSocket has none.
            cycle = getattr(connection, "cycle", None)
            if cycle and CUT_OFF in cycle.scope and not cycle.response_complete:
                connection.transport.abort()

    def on_signal(number: int, frame: FrameType | None) -> None:
        # uvicorn reads this when it waits for the last responses, and
        # by default it would wait for ever for one that nobody reads.
        if not config.timeout_graceful_shutdown:
            config.timeout_graceful_shutdown = GRACE
        loop.call_soon_threadsafe(on_stop)
        server.handle_exit(number, frame)

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    # With --reload: a reloader that is killed sends no signal.
    when_orphaned(loop.call_soon_threadsafe, on_signal, signal.SIGTERM, None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)

    # uvicorn ends the process by the signal itself, so Python has no
    # exit at which the last lines of the log could be written.
    logs.ENDING.set()


def _server() -> uvicorn.Server | None:
    """The uvicorn that runs here, if any.

    uvicorn has set its signal handlers before the lifespan starts, so
    they tell which server they belong to. Only a main thread can set
    others.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    handler = signal.getsignal(signal.SIGTERM)
    server = getattr(handler, "__self__", None)
    return server if isinstance(server, uvicorn.Server) else None
