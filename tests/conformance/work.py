"""Work: where the tasks of a solution sleep, and errors put there.

asyncio.sleep asks the loop for a timer; here it is seen who asked.

Rule: a place is told by all of the solution's lines that led to the
sleep. It belongs to the work if something sleeps there while a task is
in process, and nothing does while there is none.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

from tests.conformance.api import Api

# So long the solution is watched while it has nothing to do.
IDLE = 61.0  # seconds
# And so long while it works: not to a moment at which a step of some
# work is likely to end and the next has not begun.
AT_WORK = 1.3717  # seconds
# The files and lines that led to a sleep, the last one first.
Place = tuple[tuple[str, int], ...]


UNFORESEEN = "an error that nobody expected"


class UnforeseenError(Exception):
    """Put into the work by the grading: nobody can have expected it."""


class Work:
    """The sleeps of a solution, once it has been watched."""

    def __init__(self, api: Api) -> None:
        # Where tasks sleep.
        self.places: set[Place] = set()
        # How often an error was put there.
        self.failed = 0
        self._api = api
        self._fails_next = False
        # The timers that were asked for, by place.
        self._seen: dict[Place, list[asyncio.TimerHandle]] = {}
        self._call_later: Callable[..., asyncio.TimerHandle] = api.loop.call_later

    @classmethod
    async def watched(cls, api: Api) -> "tuple[Work, str]":
        """Watch it at rest, and then with a slow task.

        Returns what was seen, and the id of the task, which is in
        process.
        """
        work = cls(api)
        # What runs in the background may start with the first task.
        task_id = await api.submit(api.solution.quick)
        await api.until_over(task_id, within=120)
        loop: Any = api.loop
        loop.call_later = work._see
        await api.sleep(IDLE)
        idle = set(work._seen)

        work._seen.clear()
        task_id = await api.submit(api.solution.slow)
        await api.until(task_id, api.solution.processing)
        await api.sleep(AT_WORK)
        work.places = set(work._seen) - idle
        return work, task_id

    def fail_next(self) -> None:
        """Let the next sleep of the work end in an UnforeseenError."""
        self._fails_next = True

    def goes_on(self) -> str:
        """Where work sleeps now, as file and line; empty if nowhere."""
        now = self._api.now()
        for place in self.places:
            for timer in self._seen.get(place, []):
                if not timer.cancelled() and timer.when() > now:
                    file, line = place[0]
                    return f"{os.path.basename(file)}:{line}"
        return ""

    def _see(
        self, delay: float, callback: Callable[..., Any], *args: Any, **options: Any
    ) -> asyncio.TimerHandle:
        """Take the place of the loop's call_later."""
        frame = sys._getframe(1)
        place: Place = ()
        if frame.f_code is asyncio.sleep.__code__:
            place = self._place_of(frame)

        if self._fails_next and place in self.places:
            self._fails_next = False
            self.failed += 1
            [future, _] = args
            return self._call_later(0, _fail, future, **options)

        timer = self._call_later(delay, callback, *args, **options)
        if place:
            self._seen.setdefault(place, []).append(timer)
        return timer

    def _place_of(self, frame: Any) -> Place:
        lines = []
        while frame is not None:
            if self._api.solution.owns(frame.f_code.co_filename):
                lines.append((frame.f_code.co_filename, frame.f_lineno))
            frame = frame.f_back
        return tuple(lines)


def _fail(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_exception(UnforeseenError(UNFORESEEN))
