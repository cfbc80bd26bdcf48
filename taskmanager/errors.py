"""What can go wrong: errors that carry their HTTP status and code, and the names of task failures.

Rule: an error says what it is once, here. The engine raises it without knowing HTTP; the API makes a response of
it without knowing the engine. Notebook: 06-cancellation-and-failure.
"""

import asyncio
from typing import TypedDict


class TaskError(TypedDict):
    """The ``error`` of a failed task."""

    code: str
    message: str


class TaskManagerError(Exception):
    """Base of what the engine refuses. Its text is for the client; ``retry_after`` is in whole seconds, if any."""

    status = 500
    code = "internal_error"

    def __init__(self, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TaskNotFoundError(TaskManagerError):
    """No task has this id, or it was finished and has been cleaned up."""

    status, code = 404, "task_not_found"


class TaskFinishedError(TaskManagerError):
    """A completed or failed task cannot be cancelled."""

    status, code = 409, "task_finished"


class QueueFullError(TaskManagerError):
    """Backpressure: no slot is free, so the submission is refused rather than remembered."""

    status, code = 503, "queue_full"


class ShuttingDownError(TaskManagerError):
    """The server is about to stop and takes no new work."""

    status, code = 503, "shutting_down"

    def __init__(self) -> None:
        super().__init__("The server is shutting down.", retry_after=5)


class TaskFailedError(Exception):
    """Raised by a handler whose work failed for a reason that its user should read."""


INTERNAL: TaskError = {"code": "internal_error", "message": "The task failed unexpectedly."}


def classify_failure(error: Exception) -> TaskError:
    """The ``error`` that a task shows for what its handler raised."""
    match error:
        case TaskFailedError():
            return {"code": "task_failed", "message": str(error)}
        # On Python 3.10 asyncio's TimeoutError is not yet the built-in one.
        case asyncio.TimeoutError() | TimeoutError():
            return {"code": "timeout", "message": str(error) or "The task ran out of time."}
        case _:
            return INTERNAL
