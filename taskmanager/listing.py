"""Listing: the tasks as a stream of JSON, while others are served.

Rule: a loop that encodes serves nobody. So of all listings one at a
time encodes, for a millisecond or one record, and then others have
their turn. Once the manager stops, nothing more is encoded, and the
stream breaks off. Notebook: 10-streaming.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from pydantic_core import to_json

from taskmanager.manager import TaskManager
from taskmanager.task import Task, TaskStatus

# Seconds. A record that begins in them is finished: others are held up
# for 5 ms at most, unless a single record takes longer.
SLICE = 0.001
# Turns of the event loop that follow, since one lets nobody's request
# through. On a new connection, uvicorn needs three until it reads the
# request, one to start its task, and one for the answer.
TURNS = 5


async def slices(
    manager: TaskManager,
    pages: Iterator[list[Task]],
    status: TaskStatus | None,
    limit: int,
    encoding: asyncio.Lock,
) -> AsyncIterator[list[bytes]]:
    """The pages' first ``limit`` tasks as JSON, a slice at a time.

    With ``status``, only those that still have it. All listings share
    the lock ``encoding``, which goes to whoever has waited longest.
    Raises CancelledError once the manager is stopping.
    """
    left = limit
    for page in pages:
        while page:
            async with encoding:
                if manager.stopping:
                    # Let the server see first that the connection is
                    # closed: it would log an error.
                    await asyncio.sleep(0)
                    raise asyncio.CancelledError
                if status is not None:
                    page = [task for task in page if task.status is status]
                records = await encode(manager, page[:left])

            if records:
                yield records
            page = page[len(records) :]
            left -= len(records)
            if left == 0:
                return

        # Others run between two pages, even where sending one does not
        # wait.
        await asyncio.sleep(0)


async def encode(manager: TaskManager, tasks: list[Task]) -> list[bytes]:
    """As many records as begin in a slice.

    Where they use it up, others have their turns. Whoever calls this
    holds a lock, so that one at a time encodes.
    """
    records = []
    end = time.monotonic() + SLICE
    for task in tasks:
        records.append(to_json(manager.describe(task)))
        if time.monotonic() > end:
            await give_way()
            break
    return records


async def give_way() -> None:
    """Let others have their turns of the event loop."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def as_lines(slices: AsyncIterator[list[bytes]]) -> AsyncIterator[bytes]:
    """NDJSON, a slice at a time."""
    async for records in slices:
        yield b"\n".join(records) + b"\n"


async def as_array(slices: AsyncIterator[list[bytes]]) -> AsyncIterator[bytes]:
    """A JSON array, a slice at a time."""
    yield b"[" + b",".join(await anext(slices, []))
    async for records in slices:
        yield b"," + b",".join(records)
    yield b"]"
