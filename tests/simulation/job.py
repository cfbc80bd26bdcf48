"""What the model knows of a task and of a long poll, and what is to be
seen of them.

Rule: all of it follows from what the client asked for, and from when
the task became what.
"""

import asyncio
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from taskmanager.testing import EPOCH
from tests.simulation.journal import InvariantError
from tests.simulation.work import Work

ENDS = ("completed", "failed", "cancelled")


@dataclass(eq=False)
class Job:
    """An accepted task."""

    number: int
    task_id: str
    work: Work
    priority: str
    place: tuple[float, int]
    changes: list[tuple[float, str]]  # when it became what
    due: float = math.inf  # when it ends by itself, known from its start
    error: str | None = None  # the code of the failure that it then ends with,
    message: str | None = None  # and its message, where that is known
    finish: int | None = None  # how many had finished before it did
    progress: int = 0  # the last that was seen
    # what the log says of it beside its changes
    logged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"task {self.number} ({self.work.habit or self.work.task_type}, {self.priority})"

    @property
    def status(self) -> str:
        return self.changes[-1][1]

    @property
    def finished(self) -> bool:
        return self.status in ENDS

    def check(self, seen: dict[str, Any], now: float, ahead: int | None) -> None:
        """Hold what a client sees now against what it is, where so many
        tasks are ahead of it in the queue.
        """
        work, times = self.work, {status: utc(at) for at, status in self.changes}
        error = None
        if self.status == "failed":
            message = self.message or (seen.get("error") or {}).get("message")
            error = {"code": self.error, "message": message}
        report = (seen.get("result") or {}).get("report")
        if isinstance(report, str):  # only its headings are promised
            seen["result"]["report"] = report.count("\n## ")
        expected = {
            "task_id": self.task_id,
            "task_type": work.task_type,
            "parameters": work.parameters,
            "priority": self.priority,
            "status": self.status,
            "version": len(self.changes),
            "progress": self._progress(seen.get("progress", -1), now),
            "queue_position": ahead,
            "result": work.result if self.status == "completed" else None,
            "error": error,
            "created_at": times["queued"],
            "started_at": times.get("processing"),
            "finished_at": utc(self.changes[-1][0]) if self.finished else None,
        }
        if seen != expected:
            name = next(
                (name for name in expected if seen.get(name) != expected[name]),
                "a member",
            )
            raise InvariantError(
                f"{self} shows {name} {seen.get(name)!r}, not {expected.get(name)!r}"
            )

    def _progress(self, seen: int, now: float) -> int:
        """The progress to be seen; where two are right, whichever of
        them was seen.
        """
        if seen < self.progress:
            raise InvariantError(
                f"the progress of {self} went back from {self.progress} to {seen}"
            )
        self.progress = seen
        if self.status == "completed":
            return 100
        if (
            "processing" not in (status for _, status in self.changes)
            or not self.work.shows_progress
        ):
            return 0
        elapsed = (self.changes[-1][0] if self.finished else now) - self.changes[1][0]
        # two where a step is due right now
        steps = {math.floor(elapsed), max(0, math.ceil(elapsed) - 1)}
        right = {min(99, int(100 * step // self.work.seconds)) for step in steps}
        return seen if seen in right else min(right)


@dataclass(eq=False)
class Poll:
    """A long poll."""

    job: Job
    since: int | None
    # set when the client leaves
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    begun: float = 0.0
    seen: int = 0  # the version that it waits to see exceeded

    def __str__(self) -> str:
        left = ", whose client has left" if self.gone.is_set() else ""
        return f"on {self.job}, for a version over {self.seen}, since {self.begun:.6f}{left}"

    def ends(self, wait_timeout: float) -> float:
        """When it is to be answered, as far as is known: at the first
        news, else at its deadline.
        """
        news = (
            at
            for version, (at, status) in enumerate(self.job.changes, 1)
            if version > self.seen or status in ENDS
        )
        return min(max(self.begun, next(news, math.inf)), self.begun + wait_timeout)


def utc(clock: float) -> str:
    """The time that the API shows for what happened at ``clock``."""
    moment = datetime.fromtimestamp(EPOCH, timezone.utc) + timedelta(seconds=clock)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
