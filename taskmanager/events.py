"""Events: states that are pushed to whoever reads a stream of them.

Rules: a state is told once, and to a slow reader only the latest, so
nobody has a backlog. Each source is looked at and encoded once for all
its readers, and not at all while it has none. They are woken in
portions, and others are served in between. The form is that of
server-sent events (WHATWG HTML, section 9.2). Notebook: 05-polling.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, NamedTuple, TypeAlias

from pydantic_core import to_json

from taskmanager import listing
from taskmanager.manager import TaskManager
from taskmanager.task import Task

# Seconds without an event, after which a comment tells proxies that the
# stream is alive.
SILENCE = 15.0
COMMENT = b":\n\n"
# Readers that are woken together, since to send to them takes about
# a millisecond. Then others have their turns.
PORTION = 50

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


class Event(NamedTuple):
    """A state as it is sent, and its place among the others.

    Nothing follows one that is ``final``.
    """

    place: tuple[float, ...]
    text: bytes
    final: bool


Follow: TypeAlias = Callable[[Event], AsyncIterator[Event]]


class Feed:
    """What readers share: one asyncio.Task that waits for each event.

    ``follow(event)`` yields those after an event, and the last one
    again after a silence. Should that fail, the streams end, and their
    clients come back. Should somebody cancel it while there are
    readers, it begins again at once, and they miss nothing.
    """

    def __init__(self, first: Event, follow: Follow) -> None:
        self.readers = 0
        self.latest = first
        self._follow = follow
        # Each wakes a portion of those who wait.
        self._portions: list[asyncio.Event] = []
        self._waiting = 0
        self.telling = asyncio.create_task(self._tell())

    async def read(self, seen: Event, resumed: bool = False) -> AsyncGenerator[bytes]:
        """What to send to a reader: this event, and those that follow.

        One who resumes has this event already.
        """
        if not resumed:
            yield seen.text

        while not seen.final:
            if self.latest.place <= seen.place:
                if self.telling.done():
                    return
                await self._news()

            if self.latest.place > seen.place:
                seen = self.latest
                yield seen.text
            else:
                yield COMMENT

    async def _news(self) -> None:
        if self._waiting % PORTION == 0:
            self._portions.append(asyncio.Event())
        self._waiting += 1
        await self._portions[-1].wait()

    async def _tell(self) -> None:
        try:
            async for event in self._follow(self.latest):
                self.latest = event
                # Who waits from now on is in a portion of the next.
                self._waiting = 0
                for _ in range(len(self._portions)):
                    self._portions.pop(0).set()
                    await listing.rest()
        except asyncio.CancelledError:
            # Only the last reader ends it, by leaving.
            if self.readers:
                self.telling = asyncio.create_task(self._tell())
            raise
        finally:
            # They see how it goes on, and wait in new portions.
            self._waiting = 0
            while self._portions:
                self._portions.pop().set()


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
