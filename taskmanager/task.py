"""Task: one submitted piece of work, its states, and the one method
that changes them.

Rules: a status changes only along TRANSITIONS, so the first terminal
status wins. Each change raises ``version`` by one and wakes everybody
who waits for it. Nothing here reads a clock. Notebook:
02-task-lifecycle.
"""

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from taskmanager.errors import IllegalTransitionError, TaskError
from taskmanager.task_types import Parameters, Priority, Result, Submission

Time: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


def new_task_id() -> str:
    """A random UUID (version 4, RFC 9562) as text."""
    return str(uuid.uuid4())


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, with milliseconds, of this Unix time."""
    return _timestamp(int(seconds * 1000))


# Under load, most times share their millisecond with the one before
# (benchmarks: shortcuts).
@lru_cache(maxsize=1)
def _timestamp(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TaskStatus(str, Enum):
    """Where a task is in its life."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: dict[TaskStatus, tuple[TaskStatus, ...]] = {
    TaskStatus.QUEUED: (TaskStatus.PROCESSING, TaskStatus.CANCELLED),
    TaskStatus.PROCESSING: (
        TaskStatus.COMPLETED,
        TaskStatus.FAILED,
        TaskStatus.CANCELLED,
    ),
    TaskStatus.COMPLETED: (),
    TaskStatus.FAILED: (),
    TaskStatus.CANCELLED: (),
}
TERMINAL = tuple(status for status, next_ in TRANSITIONS.items() if not next_)


class TaskDict(TypedDict):
    """A task as JSON, in the API and in its documentation."""

    task_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    task_type: str
    parameters: dict[str, Any]
    priority: Priority
    status: Annotated[
        str, Field(json_schema_extra={"enum": [status.value for status in TaskStatus]})
    ]
    version: Annotated[
        int, Field(ge=1, description="Grows by 1 at each change of status.")
    ]
    progress: Annotated[
        int,
        Field(ge=0, le=100, description="Never goes back; 100 exactly when completed."),
    ]
    queue_position: Annotated[
        int | None,
        Field(description="Tasks that would run before; null once not queued."),
    ]
    result: Annotated[Result | None, Field(description="Set only when completed.")]
    error: Annotated[TaskError | None, Field(description="Set only when failed.")]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


@dataclass(slots=True, eq=False)
class Task:
    """A task; its times are RFC 3339 texts, for people."""

    task_id: str
    task_type: str
    parameters: Parameters
    priority: Priority
    # Counts submissions from 0.
    number: int
    # Orders the queue: time of submission plus head start, then number.
    place: tuple[float, int]
    # How long processing is expected to take.
    expected_seconds: float
    created_at: str
    # Added to the monotonic clock, it gives this task's Unix time. So
    # its times keep their order when somebody sets the wall clock.
    clock_offset: float
    # Monotonic seconds of the last change of status; of a finished
    # task, of its finish.
    status_since: float
    status: TaskStatus = TaskStatus.QUEUED
    version: int = 1
    progress: int = 0  # percent
    result: Result | None = None
    error: TaskError | None = None
    started_at: str | None = None
    finished_at: str | None = None
    # Whose submission this is: the client's address and
    # Idempotency-Key.
    idempotency_key: str | None = None
    _changed: asyncio.Event | None = field(default=None, repr=False)
    _news: asyncio.Event | None = field(default=None, repr=False)

    @property
    def finished(self) -> bool:
        """Whether the status is a terminal one."""
        return self.finished_at is not None

    def is_of(self, submission: Submission) -> bool:
        """Whether this is the task that such a submission makes."""
        # To Python, 1 equals 1.0; their sums do not look the same.
        same_parameters = repr(self.parameters) == repr(submission.parameters)
        return same_parameters and self.priority == submission.priority

    def change_status(
        self,
        status: TaskStatus,
        at: str,
        now: float,
        result: Result | None = None,
        error: TaskError | None = None,
    ) -> None:
        """Go to ``status``.

        ``at`` is the time in RFC 3339, ``now`` in monotonic seconds.
        Raises IllegalTransitionError, and changes nothing, where it may
        not follow.
        """
        if status not in TRANSITIONS[self.status]:
            raise IllegalTransitionError(
                f"{self.task_id}: {self.status.value} -> {status.value}"
            )

        self.status = status
        self.status_since = now
        self.version += 1
        self.result = result
        self.error = error
        if status in TERMINAL:
            self.finished_at = at
        else:
            self.started_at = at
        if status is TaskStatus.COMPLETED:
            self.progress = 100

        # Waiters hold the old Event, which stays set for ever; whoever
        # waits from now on gets a new one. Clearing one Event instead
        # would lose the wake-up of a waiter that has compared versions
        # and begins to wait a turn of the event loop later.
        changed = self._changed
        self._changed = None
        if changed is not None:
            changed.set()
        self._tell_news()

    def report_progress(self, percent: int) -> None:
        """Show progress, which never goes back.

        100 is kept for ``completed``.
        """
        shown = min(percent, 99)
        if self.status is TaskStatus.PROCESSING and shown > self.progress:
            self.progress = shown
            self._tell_news()

    def changed_since(self, version: int) -> bool:
        """Whether the status has changed since ``version`` was seen.

        Of a finished task that is always said: whoever waits for its
        next change would wait for ever.
        """
        return self.finished or self.version > version

    def next_change(self) -> asyncio.Event:
        """The Event that the next change of status sets.

        It is made when somebody asks for it (benchmarks: shortcuts).
        """
        if self._changed is None:
            self._changed = asyncio.Event()
        return self._changed

    def next_news(self) -> asyncio.Event:
        """The Event that the next change of status or progress sets.

        It is another one: whoever waits for the status alone is not
        woken by each step of the progress.
        """
        if self._news is None:
            self._news = asyncio.Event()
        return self._news

    def _tell_news(self) -> None:
        news = self._news
        self._news = None
        if news is not None:
            news.set()

    def to_dict(self, queue_position: int | None) -> TaskDict:
        """The task as JSON shows it."""
        return {
            "task_id": self.task_id,
            "task_type": self.task_type,
            "parameters": vars(self.parameters),
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
