"""Streams: a step of a task's progress, sent to a thousand readers.

The reference sends as much to as many connections of the same server,
one after the other, with nothing but the server's own ``send``. The
server runs in this process and the readers in another; what is measured
is the CPU time of this one until all is sent.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks import held, load
from benchmarks.harness import Bench
from taskmanager import events
from taskmanager.manager import TaskManager
from taskmanager.task import Task
from taskmanager.watch import MOST_OF_A_CLIENT

# Seconds in which a step has long been sent.
PATIENCE = 0.2
MEDIA_TYPE = "text/event-stream"
# Opens connections from several addresses, and reads until they end.
READERS = """
import selectors, socket, sys
port, path, count, of_a_client = sys.argv[1:]
selector = selectors.DefaultSelector()
for number in range(int(count)):
    source = f"127.0.1.{1 + number // int(of_a_client)}", 0
    reader = socket.create_connection(("127.0.0.1", int(port)), None, source)
    reader.sendall(f"GET {path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode())
    reader.setblocking(False)
    selector.register(reader, selectors.EVENT_READ)
while selector.get_map():
    for key, _ in selector.select():
        if not key.fileobj.recv(65536):
            selector.unregister(key.fileobj)
"""


class Sends:
    """An application that keeps the ``send`` of each request."""

    def __init__(self) -> None:
        self._sends: list[Any] = []

    @property
    def readers(self) -> int:
        return len(self._sends)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(_start())
        self._sends.append(send)
        while (await receive())["type"] != "http.disconnect":
            pass

    async def tell(self, text: bytes) -> None:
        for send in self._sends:
            await send({"type": events.PART, "body": text, "more_body": True})


class Tasks:
    """An application whose requests each wait for the next text."""

    def __init__(self) -> None:
        self.readers = 0
        self._text = b""
        self._told = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(_start())
        async for text in self._texts():
            await send({"type": events.PART, "body": text, "more_body": True})

    async def respond(self, _: Request) -> StreamingResponse:
        """An endpoint, where this is no application."""
        return StreamingResponse(self._texts(), media_type=MEDIA_TYPE)

    async def tell(self, text: bytes) -> None:
        told = self._told
        self._told = asyncio.Event()
        self._text = text
        told.set()

    async def _texts(self) -> AsyncIterator[bytes]:
        self.readers += 1
        while True:
            await self._told.wait()
            yield self._text


class Engine:
    """The application's own streams of a task."""

    def __init__(self, manager: TaskManager, task: Task) -> None:
        self._manager = manager
        self._task = task

    @property
    def readers(self) -> int:
        return self._manager.streams["tasks"]

    async def tell(self, _: bytes) -> None:
        self._task.report_progress(self._task.progress + 1)


async def run(bench: Bench) -> None:
    count = bench.pick(100, 1_000)
    options = {"rate_limit": None, "max_streams": count, "task_timeout": 100_000}
    with held.instant_work():
        async with load.running(**options) as (app, manager), AsyncExitStack() as stack:
            task = manager.submit(held.ENDLESS)
            sends = Sends()
            layered = Sends()
            tasks = Tasks()
            streamed = Tasks()
            # These go through all that stands around the engine's.
            app.router.routes[:0] = [
                Route("/layered", layered),
                Route("/streamed", streamed.respond),
            ]
            ways: dict[str, tuple[Any, Any, str]] = {
                "one send after the other": (sends, sends, "/"),
                "through the application's layers": (layered, app, "/layered"),
                "by a task for each": (tasks, tasks, "/"),
                "by a StreamingResponse for each": (streamed, app, "/streamed"),
                "taskmanager": (
                    Engine(manager, task),
                    app,
                    f"/tasks/{task.task_id}/events",
                ),
            }
            samples = {}
            for name, (teller, served, path) in ways.items():
                await stack.enter_async_context(_read(served, path, count))
                while teller.readers < count:
                    await asyncio.sleep(0.01)
                samples[name] = partial(_sample, manager, task, teller)

            figures = await bench.compare(
                f"A step of the progress, told to {count:,} streams",
                "ms of CPU",
                samples,
                rounds=bench.pick(1, 15, 31),
            )
            manager.cancel(task.task_id)

    bench.target(
        f"a step told to {count:,} streams, times as many sends",
        figures["taskmanager"].ratio,
        at_most=1.3,
    )


def _start() -> dict[str, Any]:
    """The start of a response, whose headers an application adds to."""
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    return {"type": "http.response.start", "status": 200, "headers": headers}


async def _sample(manager: TaskManager, task: Task, teller: Any) -> float:
    text = events.task_event(manager, task).text
    return await _cpu_of(teller.tell(text))


async def _cpu_of(begun: Any) -> float:
    """The milliseconds of CPU that it takes, with all that follows."""
    before = time.thread_time()
    await begun
    await asyncio.sleep(PATIENCE)
    return (time.thread_time() - before) * 1000


@contextlib.asynccontextmanager
async def _read(app: Any, path: str, count: int) -> AsyncIterator[None]:
    """Serve the application to so many readers of a path."""
    config = uvicorn.Config(
        app,
        port=0,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)

    port = server.servers[0].sockets[0].getsockname()[1]
    arguments = [str(port), path, str(count), str(MOST_OF_A_CLIENT)]
    readers = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READERS, *arguments
    )
    try:
        yield
    finally:
        readers.kill()
        await readers.wait()
        server.should_exit = True
        await serving
