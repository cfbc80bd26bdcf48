"""Stopping: wakes whoever waits when uvicorn is told to stop.

Rule: uvicorn ends the lifespan only when all responses have been sent, and a long poll would hold that up for ten
seconds, a half-sent body for ever. So waiting ends at the signal itself. Notebook: 10-shutdown-and-faults.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import uvicorn

from taskmanager.manager import TaskManager

GRACE = 1  # seconds to read the rest of a response, where uvicorn was not given --timeout-graceful-shutdown
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@asynccontextmanager
async def stop_with_server(manager: TaskManager, readers: "set[asyncio.Task[Any]]") -> AsyncIterator[None]:
    """Stop ``manager`` and wake ``readers`` at the signal that stops uvicorn.

    uvicorn has set its signal handlers before the lifespan starts, so this puts one in front of them. In a thread
    or under another server it does nothing, and the end of the lifespan stops all.
    """
    loop = asyncio.get_running_loop()
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not isinstance(server, uvicorn.Server) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop() -> None:
        manager.begin_stop()
        for reader in readers:
            reader.cancel()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if server.config.timeout_graceful_shutdown is None:
            server.config.timeout_graceful_shutdown = GRACE
        loop.call_soon_threadsafe(stop)
        server.handle_exit(number, frame)

    for number in SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, server.handle_exit)
