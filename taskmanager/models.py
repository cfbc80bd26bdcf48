"""Task: one submitted piece of work, its states, and the one method that changes them.

Rules: a status changes only along TRANSITIONS, so the first terminal status wins. Each change raises ``version``
by one and wakes everybody who waits for it. Nothing here reads a clock. Notebook: 01-task-lifecycle.
"""

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from taskmanager.errors import TaskError
from taskmanager.parameters import Parameters, Priority

TaskDict: TypeAlias = dict[str, Any]  # a task as JSON: what the API shows
Result: TypeAlias = dict[str, Any]


class TaskStatus(str, Enum):
    """The states of a task; the value is what JSON shows."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.QUEUED: frozenset({TaskStatus.PROCESSING, TaskStatus.CANCELLED}),
    TaskStatus.PROCESSING: frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}),
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
}
TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)


class IllegalTransitionError(Exception):
    """A status was to follow one that it may not follow: a bug, not a user's mistake."""


@dataclass(slots=True, eq=False)
class Task:
    """A task. Times ending in ``_at`` are RFC 3339 texts for people, ``_clock`` monotonic seconds for arithmetic.

    ``number`` counts submissions from 0; ``place`` orders the queue: the time of submission plus the head start,
    then the number; ``changed_clock`` is when the status last changed: for a finished task, its finish.
    """

    task_id: str
    task_type: str
    parameters: Parameters
    priority: Priority
    number: int
    place: tuple[float, int]
    expected_seconds: float
    created_at: str
    changed_clock: float
    status: TaskStatus = TaskStatus.QUEUED
    version: int = 1
    progress: int = 0
    result: Result | None = None
    error: TaskError | None = None
    started_at: str | None = None
    finished_at: str | None = None
    _changed: asyncio.Event | None = field(default=None, repr=False)

    @property
    def finished(self) -> bool:
        return self.status in TERMINAL

    def change_status(
        self, status: TaskStatus, at: str, clock: float, result: Result | None = None, error: TaskError | None = None
    ) -> None:
        """Go to ``status``. Raises IllegalTransitionError, and changes nothing, where it may not follow."""
        if status not in TRANSITIONS[self.status]:
            raise IllegalTransitionError(f"{self.task_id}: {self.status.value} -> {status.value}")
        self.status, self.changed_clock, self.result, self.error = status, clock, result, error
        self.version += 1
        if self.finished:
            self.finished_at = at
        else:
            self.started_at = at
        if status is TaskStatus.COMPLETED:
            self.progress = 100
        # Waiters hold the old Event, which stays set for ever; whoever waits from now on gets a new one. Clearing
        # one Event instead would lose the wake-up of a waiter that has not run yet.
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()

    def report_progress(self, percent: int) -> None:
        """Show progress: it never goes back, and 100 is kept for ``completed``."""
        if self.status is TaskStatus.PROCESSING:
            self.progress = max(self.progress, min(percent, 99))

    def news_since(self, version: int) -> bool:
        """Whether there is something to tell who last saw ``version``, or never will be."""
        return self.finished or self.version > version

    def next_change(self) -> asyncio.Event:
        """The Event that the next change of status sets, shared by all who wait for it.

        Made when first asked for: it takes 800 bytes, and most tasks are kept long after anybody waited for them.
        """
        if self._changed is None:
            self._changed = asyncio.Event()
        return self._changed

    def to_dict(self, queue_position: int | None) -> TaskDict:
        return {
            "task_id": self.task_id,
            "task_type": self.task_type,
            "parameters": self.parameters.model_dump(),
            "priority": self.priority,
            "status": self.status.value,
            "version": self.version,
            "progress": self.progress,
            "queue_position": queue_position,
            "result": self.result,
            "error": self.error,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
        }
