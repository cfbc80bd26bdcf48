"""Events: states that are pushed to whoever reads a stream of them.

Rules: a state is told once, and to a slow reader only the latest, so
nobody has a backlog. Each source is looked at and encoded once for all
its readers, and not at all while it has none. They are woken in
portions, and others are served in between. The form is that of
server-sent events (WHATWG HTML, section 9.2). Notebook: 05-polling.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from anyio import CancelScope
from pydantic_core import to_json

from taskmanager import listing
from taskmanager.manager import TaskManager
from taskmanager.task import Task

# Seconds without an event, after which a comment tells proxies that the
# stream is alive.
SILENCE = 15.0
COMMENT = b":\n\n"
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


Place: TypeAlias = tuple[float, ...]
Send: TypeAlias = Callable[[Any], Awaitable[None]]


class Event(NamedTuple):
    """A state as it is sent, and its place among the others.

    Nothing follows one that is ``final``.
    """

    place: Place
    text: bytes
    final: bool


Follow: TypeAlias = Callable[[Event], AsyncIterator[Event]]


@dataclass(slots=True, eq=False)
class Reader:
    """Who reads a feed, and has all up to the event at ``place``."""

    place: Place
    send: Send
    until_end: CancelScope
    # What sends to it now: for long, where it is slow.
    sending: asyncio.Task[Any] | None = None


class Feed:
    """What readers share: one asyncio.Task that waits for each event.

    ``follow(event)`` yields those after an event, and the last one
    again after a silence. Should that fail, the streams end, and their
    clients come back. Should somebody cancel it while there are
    readers, it begins again at once, and they miss nothing.

    To wake a task for each reader would cost a third of what it costs
    to send (benchmarks: streams). So one task sends to a portion of
    them; where a slow reader holds it up, the next goes on.
    """

    def __init__(self, first: Event, follow: Follow) -> None:
        self.readers = 0
        self.latest = first
        self._follow = follow
        self._reading: dict[Reader, None] = {}
        # Those who are to be sent the latest, and who sends it.
        self._due: deque[Reader] = deque()
        self._portion: asyncio.Task[None]
        self.telling = asyncio.create_task(self._tell())

    async def read(self, place: Place, send: Send, left: Awaitable[None]) -> None:
        """Send the latest, and what follows, up to the end.

        Who is at the place of the latest is sent a comment. ``send`` is
        that of ASGI. Ends early when ``left`` is done.
        """
        with CancelScope() as until_end:
            reader = Reader(place, send, until_end)
            self._reading[reader] = None
            self._due.append(reader)
            self._portion = asyncio.create_task(self._send_portion())
            try:
                await left
            finally:
                del self._reading[reader]
                if reader.sending:
                    reader.sending.cancel()

    async def _tell(self) -> None:
        try:
            await self._send_due()
            async for event in self._follow(self.latest):
                self.latest = event
                self._due.extend(self._reading)
                await self._send_due()
        except asyncio.CancelledError:
            # Only the last reader ends it, by leaving.
            if self.readers:
                self.telling = asyncio.create_task(self._tell())
            raise
        except Exception:
            for reader in self._reading:
                reader.until_end.cancel()
            raise

    async def _send_due(self) -> None:
        while self._due:
            self._portion = asyncio.create_task(self._send_portion())
            await listing.rest()

    async def _send_portion(self) -> None:
        for _ in range(min(PORTION, len(self._due))):
            reader = self._due.popleft()
            if reader in self._reading and not reader.sending:
                await self._send(reader)

    async def _send(self, reader: Reader) -> None:
        reader.sending = asyncio.current_task()
        is_over = True
        try:
            seen = None
            while seen is not self.latest:
                seen = self.latest
                text = seen.text if seen.place > reader.place else COMMENT
                reader.place = seen.place
                await reader.send(
                    {"type": "http.response.body", "body": text, "more_body": True}
                )
            is_over = seen.final or self.telling.done()
        finally:
            reader.sending = None
            if is_over:
                reader.until_end.cancel()


# A task


def event_id(task: Task) -> str:
    """Its version and progress, and whose they are."""
    return f"{task.version}-{task.progress}-{task.task_id}"


def task_event(manager: TaskManager, task: Task) -> Event:
    """The task as it is."""
    data = to_json(manager.describe(task))
    text = b"id: %b\ndata: %b\n\n" % (event_id(task).encode(), data)
    return Event((task.version, task.progress), text, task.finished)


async def task_events(
    manager: TaskManager, task: Task, seen: Event
) -> AsyncIterator[Event]:
    """The states after this one, up to the final one."""
    while not seen.final:
        if (task.version, task.progress) == seen.place:
            news = asyncio.ensure_future(task.next_news().wait())
            try:
                await asyncio.wait([news], timeout=SILENCE)
            finally:
                news.cancel()

        seen = task_event(manager, task)
        yield seen


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
    return Event((time.monotonic(),), text, manager.stopping)


def _shown(tasks: list[Task]) -> list[dict[str, Any]]:
    return [{member: getattr(task, member) for member in SHOWN} for task in tasks]


async def board_events(manager: TaskManager, seen: Event) -> AsyncIterator[Event]:
    """The boards after this one, up to the stop.

    One that stays the same comes again after a silence.
    """
    told = time.monotonic()
    while not seen.final:
        await asyncio.sleep(INTERVAL)
        latest = board_event(manager)
        is_silent = time.monotonic() - told >= SILENCE
        if latest.final or latest.text != seen.text or is_silent:
            told = time.monotonic()
            seen = latest
            yield seen
