"""Task: one submitted piece of work, its states, and the one method
that changes them.

Rules: a status changes only along TRANSITIONS, so the first terminal
status wins. Each change raises ``version`` by one and wakes everybody
who waits for it. Nothing here reads a clock. Notebook:
01-task-lifecycle.
"""

import asyncio
import os
import time
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from taskmanager.errors import IllegalTransitionError, TaskError
from taskmanager.task_types import Parameters, Priority, Result

Time: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


def new_task_id() -> str:
    """A random UUID (version 4, RFC 9562) as text;
    ``str(uuid.uuid4())`` takes 1.2 µs more, of a submission's 3.
    """
    digits = os.urandom(15).hex()
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:]}"
    )


@lru_cache(maxsize=1)  # under load, most share their millisecond with the one before
def timestamp(milliseconds: int) -> str:
    """RFC 3339 in UTC with milliseconds and a ``Z``, from milliseconds
    since the epoch.
    """
    return (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
        + f".{milliseconds % 1000:03}Z"
    )


class TaskStatus(str, Enum):
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    __hash__ = str.__hash__  # Enum's own is written in Python


TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.QUEUED: frozenset({TaskStatus.PROCESSING, TaskStatus.CANCELLED}),
    TaskStatus.PROCESSING: frozenset(
        {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}
    ),
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
}
TERMINAL = frozenset(
    status for status, following in TRANSITIONS.items() if not following
)


class TaskDict(TypedDict):
    """A task as JSON: what the API shows, and what its documentation
    says of it.
    """

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
    """A task, with times in ``_at`` as RFC 3339 texts, for people, and
    in ``_clock`` in monotonic seconds.
    """

    task_id: str
    task_type: str
    parameters: Parameters
    priority: Priority
    number: int  # counts submissions from 0
    # orders the queue: time of submission plus head start, then number
    place: tuple[float, int]
    expected_seconds: float  # of processing
    created_at: str
    changed_clock: float  # of the last change of status: of a finished task, its finish
    status: TaskStatus = TaskStatus.QUEUED
    version: int = 1
    progress: int = 0
    result: Result | None = None
    error: TaskError | None = None
    started_at: str | None = None
    finished_at: str | None = None
    key: str | None = None  # the client's, and its Idempotency-Key
    _changed: asyncio.Event | None = field(default=None, repr=False)

    @property
    def finished(self) -> bool:
        return self.finished_at is not None

    def change_status(
        self,
        status: TaskStatus,
        at: str,
        clock: float,
        result: Result | None = None,
        error: TaskError | None = None,
    ) -> None:
        """Go to ``status``. Raises IllegalTransitionError, and changes
        nothing, where it may not follow.
        """
        if status not in TRANSITIONS[self.status]:
            raise IllegalTransitionError(
                f"{self.task_id}: {self.status.value} -> {status.value}"
            )
        self.status, self.changed_clock, self.result, self.error = (
            status,
            clock,
            result,
            error,
        )
        self.version += 1
        if status in TERMINAL:
            self.finished_at, self.progress = (
                at,
                100 if status is TaskStatus.COMPLETED else self.progress,
            )
        else:
            self.started_at = at
        # Waiters hold the old Event, which stays set for ever; who
        # waits from now on gets a new one. Clearing one Event instead
        # would lose the wake-up of a waiter that has not run yet.
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()

    def report_progress(self, percent: int) -> None:
        """Show progress: it never goes back, and 100 is kept for
        ``completed``.
        """
        if self.status is TaskStatus.PROCESSING:
            self.progress = max(self.progress, min(percent, 99))

    # for who last saw this version; or there never will be any
    def news_since(self, version: int) -> bool:
        return self.finished or self.version > version

    def next_change(self) -> asyncio.Event:
        """The Event that the next change of status sets; made when
        asked for, since it takes 800 bytes.
        """
        self._changed = self._changed or asyncio.Event()
        return self._changed

    def to_dict(self, queue_position: int | None) -> TaskDict:
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
