"""Stopping: wakes whoever waits when uvicorn is told to stop.

Rule: uvicorn ends the lifespan only when all responses have been sent,
and a long poll would hold that up for ten seconds, a half-sent body for
ever. So waiting ends at the signal itself. Notebook:
10-shutdown-and-faults.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType

import uvicorn

# seconds to read the rest of a response, where uvicorn was not given
# --timeout-graceful-shutdown
GRACE = 1
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@asynccontextmanager
async def at_server_stop(stop: Callable[[], None]) -> AsyncIterator[None]:
    """Call ``stop()`` in the running loop at the signal that stops
    uvicorn; under another server, never.
    """
    loop = asyncio.get_running_loop()
    # uvicorn has set its signal handlers before the lifespan starts, so
    # this can put one in front of them.
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if (
        not isinstance(server, uvicorn.Server)
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        server.config.timeout_graceful_shutdown = (
            server.config.timeout_graceful_shutdown or GRACE
        )
        loop.call_soon_threadsafe(stop)
        server.handle_exit(number, frame)

    for number in SIGNALS:
        signal.signal(number, on_signal)
    yield
    for number in SIGNALS:
        signal.signal(number, server.handle_exit)
