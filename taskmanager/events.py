"""Events: states that are pushed to whoever reads a stream of them.

Rules: a state is told once, and to a slow reader only the latest, so
nobody has a backlog. Each source is looked at and encoded once for all
its readers, and not at all while it has none. They are sent to in
portions, and others are served in between. The form is that of
server-sent events (WHATWG HTML, section 9.2). Notebook: 05-polling.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from anyio import CancelScope, move_on_after
from pydantic_core import to_json

from taskmanager import listing
from taskmanager.manager import TaskManager
from taskmanager.task import Task

# Seconds without an event, after which a comment tells proxies that the
# stream is alive.
SILENCE = 15.0
COMMENT = b":\n\n"
PART = "http.response.body"
# Readers that are sent to in one go, since that takes about a
# millisecond. Then others have their turns.
PORTION = 100

# Seconds between two looks at the board.
INTERVAL = 0.1
# What a board shows of a task, and of how many in process, in the queue
# and finished: it is smaller than 64 KiB.
SHOWN = (
    "task_id",
    "task_type",
    "priority",
    "status",
    "progress",
    "created_at",
    "started_at",
    "finished_at",
)
MOST = 100
MOST_FINISHED = 30


# ``receive`` and ``send`` of ASGI.
Channel = Callable[..., Any]


class Event(NamedTuple):
    """A state as it is sent; two with the same key are the same.

    Nothing follows one that is ``final``.
    """

    key: object
    text: bytes
    final: bool


Next = Callable[[Event], Awaitable[Event]]


@dataclass(eq=False)
class Reader:
    """Whoever reads a feed, and has seen the event with that key."""

    seen: object
    send: Channel
    until_end: CancelScope
    # What sends to it now: for long, where it is slow.
    sending: asyncio.Task[Any] | None = None


class Feed:
    """What readers share: one asyncio.Task that waits for each event.

    ``next_event(event)`` is the one after an event, or the same again
    after a silence. Should that fail, the streams end, and their
    clients come back. Should somebody cancel it while there are
    readers, it begins again at once, and they miss nothing.

    A task for each reader would have to be woken each time
    (benchmarks: streams). So one task sends to a portion of them; where
    a slow reader holds it up, the next goes on.
    """

    def __init__(self, first: Event, next_event: Next) -> None:
        self.latest = first
        self.readers: dict[Reader, None] = {}
        self._next_event = next_event
        # Those who are to be sent the latest.
        self._due: deque[Reader] = deque()
        self.telling = asyncio.create_task(self._tell())

    async def read(self, seen: object, send: Channel, receive: Channel) -> None:
        """Send the latest, and what follows, until the reader leaves.

        Whoever has seen the latest is sent a comment. ``send`` and
        ``receive`` are those of ASGI.
        """
        with CancelScope() as until_end:
            reader = Reader(seen, send, until_end)
            self.readers[reader] = None
            self._due.append(reader)
            self._portion = asyncio.create_task(self._send_portion())
            try:
                # Whatever else comes is the request's body.
                while (await receive())["type"] != "http.disconnect":
                    pass
            finally:
                del self.readers[reader]
                if reader.sending:
                    reader.sending.cancel()

    async def _tell(self) -> None:
        try:
            await self._send_due()
            event = self.latest
            while not event.final:
                event = await self._next_event(event)
                self.latest = event
                self._due.extend(self.readers)
                await self._send_due()
        except asyncio.CancelledError:
            # Only the last reader ends it, by leaving.
            if self.readers:
                self.telling = asyncio.create_task(self._tell())
            raise
        except Exception:
            for reader in self.readers:
                reader.until_end.cancel()
            raise

    async def _send_due(self) -> None:
        while self._due:
            # Kept, since an event loop keeps none.
            self._portion = asyncio.create_task(self._send_portion())
            await listing.give_way()

    async def _send_portion(self) -> None:
        for _ in range(min(PORTION, len(self._due))):
            reader = self._due.popleft()
            if reader in self.readers and not reader.sending:
                reader.sending = asyncio.current_task()
                try:
                    await self._send(reader)
                finally:
                    reader.sending = None

    async def _send(self, reader: Reader) -> None:
        """Send what is new, or else a comment."""
        event = None
        while event is not self.latest:
            event = self.latest
            text = COMMENT if event.key == reader.seen else event.text
            reader.seen = event.key
            await reader.send({"type": PART, "body": text, "more_body": True})
        if event.final or self.telling.done():
            reader.until_end.cancel()


# A task


def event_id(task: Task) -> str:
    """Its version and progress, and whose they are."""
    return f"{task.version}-{task.progress}-{task.task_id}"


def task_event(manager: TaskManager, task: Task) -> Event:
    """The task as it is."""
    key = event_id(task)
    text = b"id: %b\ndata: %b\n\n" % (key.encode(), to_json(manager.describe(task)))
    return Event(key, text, task.finished)


async def next_task_event(manager: TaskManager, task: Task, seen: Event) -> Event:
    """The state after this one, or the same after a silence."""
    if event_id(task) == seen.key:
        with move_on_after(SILENCE):
            await task.next_news().wait()
    return task_event(manager, task)


# The board


def board_event(manager: TaskManager) -> Event:
    """What goes on. It shows nothing that a user wrote."""
    processing, queue, finished = manager.overview(MOST)
    board = {
        "counts": manager.stats(),
        "workers": _shown(processing),
        "queue": _shown(queue),
        "ended": _shown(finished[:MOST_FINISHED]),
    }
    text = b"data: %b\n\n" % to_json(board)
    return Event(text, text, manager.stopping)


def _shown(tasks: list[Task]) -> list[dict[str, Any]]:
    return [{member: getattr(task, member) for member in SHOWN} for task in tasks]


async def next_board_event(manager: TaskManager, seen: Event) -> Event:
    """The board after this one, or the same after a silence."""
    latest = seen
    with move_on_after(SILENCE):
        while latest == seen:
            await asyncio.sleep(INTERVAL)
            latest = board_event(manager)
    return latest
