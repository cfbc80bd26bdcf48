"""What the model knows of a task and of a long poll.

Rule: what is to be seen of them all follows from what the client asked
for, and from when the task became what.
"""

import asyncio
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from taskmanager.testing import EPOCH
from tests.simulation.journal import InvariantError
from tests.simulation.work import Work

ENDS = ("completed", "failed", "cancelled")


class Change(NamedTuple):
    """When a task became what."""

    at: float
    status: str


@dataclass(eq=False)
class Job:
    """An accepted task."""

    number: int
    task_id: str
    work: Work
    priority: str
    place: tuple[float, int]
    changes: list[Change]
    # When it ends by itself, known from its start,
    due: float = math.inf
    # the code of the failure that it then ends with, and its message,
    # where that is known.
    error: str | None = None
    message: str | None = None
    # How many had finished before it did.
    finish: int | None = None
    # The last that was seen.
    progress: int = 0
    # What the log says of it beside its changes.
    logged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kind = self.work.habit or self.work.task_type
        return f"task {self.number} ({kind}, {self.priority})"

    @property
    def last_change(self) -> Change:
        return self.changes[-1]

    @property
    def status(self) -> str:
        return self.last_change.status

    @property
    def finished(self) -> bool:
        return self.status in ENDS

    @property
    def started_at(self) -> float | None:
        """When it went into process, if ever."""
        for change in self.changes:
            if change.status == "processing":
                return change.at
        return None

    def check(self, seen: dict[str, Any], now: float, ahead: int | None) -> None:
        """Hold what a client sees now against what it is.

        So many tasks are ahead of it in the queue, where it is queued.
        """
        report = (seen.get("result") or {}).get("report")
        if isinstance(report, str):
            # Only its headings are promised.
            seen["result"]["report"] = report.count("\n## ")

        expected = self._expected(seen, now, ahead)
        if seen == expected:
            return

        different = (name for name in expected if seen.get(name) != expected[name])
        name = next(different, "a member")
        raise InvariantError(
            f"{self} shows {name} {seen.get(name)!r}, not {expected.get(name)!r}"
        )

    def _expected(
        self, seen: dict[str, Any], now: float, ahead: int | None
    ) -> dict[str, Any]:
        """What is to be seen; where more is right, what was seen."""
        error = None
        if self.status == "failed":
            message = self.message or (seen.get("error") or {}).get("message")
            error = {"code": self.error, "message": message}

        times = {change.status: utc(change.at) for change in self.changes}
        return {
            "task_id": self.task_id,
            "task_type": self.work.task_type,
            "parameters": self.work.parameters,
            "priority": self.priority,
            "status": self.status,
            "version": len(self.changes),
            "progress": self._progress(seen.get("progress", -1), now),
            "queue_position": ahead,
            "result": self._result(),
            "error": error,
            "created_at": times["queued"],
            "started_at": times.get("processing"),
            "finished_at": self._finished_at(),
        }

    def _result(self) -> dict[str, Any] | None:
        return self.work.result if self.status == "completed" else None

    def _finished_at(self) -> str | None:
        return utc(self.last_change.at) if self.finished else None

    def _progress(self, seen: int, now: float) -> int:
        """The progress to be seen.

        Where two are right, it is whichever of them was seen.
        """
        if seen < self.progress:
            raise InvariantError(
                f"the progress of {self} went back from {self.progress} to {seen}"
            )

        self.progress = seen
        if self.status == "completed":
            return 100
        if self.started_at is None or not self.work.shows_progress:
            return 0

        end = self.last_change.at if self.finished else now
        elapsed = end - self.started_at
        # There are two where a step is due right now.
        steps = {math.floor(elapsed), max(0, math.ceil(elapsed) - 1)}
        right = {min(99, int(100 * step // self.work.seconds)) for step in steps}
        return seen if seen in right else min(right)


@dataclass(eq=False)
class Poll:
    """A long poll."""

    job: Job
    since: int | None
    # It is set when the client leaves.
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    begun: float = 0.0
    # The version that it waits to see exceeded.
    seen: int = 0

    def __str__(self) -> str:
        left = ", whose client has left" if self.gone.is_set() else ""
        return (
            f"on {self.job}, for a version over {self.seen}, "
            f"since {self.begun:.6f}{left}"
        )

    def ends(self, wait_timeout: float) -> float:
        """When it is to be answered, as far as is known.

        That is at the first news, else at its deadline.
        """
        news = (
            change.at
            for version, change in enumerate(self.job.changes, 1)
            if version > self.seen or change.status in ENDS
        )
        first = max(self.begun, next(news, math.inf))
        return min(first, self.begun + wait_timeout)


def utc(clock: float) -> str:
    """The time that the API shows for what happened at ``clock``."""
    moment = datetime.fromtimestamp(EPOCH, timezone.utc) + timedelta(seconds=clock)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
