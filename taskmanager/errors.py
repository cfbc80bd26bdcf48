"""What can go wrong: errors that carry their HTTP status and code, and
the names of task failures.

Rule: an error says what it is once, here: the engine raises it without
knowing HTTP, and the API answers it without knowing the engine.
Notebook: 08-cancellation-and-failure.
"""

import asyncio
from concurrent.futures import BrokenExecutor
from typing import Literal

from typing_extensions import TypedDict


class TaskError(TypedDict):
    """Why a task failed."""

    code: Literal[
        "task_failed",
        "timeout",
        "executor_lost",
        "internal_error",
    ]
    message: str


class TaskManagerError(Exception):
    """Base of what the engine refuses; its text is for the client.

    ``retry_after`` is in whole seconds, if there is any point in
    waiting.
    """

    status = 500
    code = "internal_error"

    def __init__(self, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TaskNotFoundError(TaskManagerError):
    """No task has this id, or it was cleaned up after it finished."""

    status = 404
    code = "task_not_found"


class TaskFinishedError(TaskManagerError):
    """The task has completed or failed, so it cannot be cancelled."""

    status = 409
    code = "task_finished"


class KeyReusedError(TaskManagerError):
    """An Idempotency-Key came with another submission before."""

    status = 422
    code = "idempotency_key_reused"


class QueueFullError(TaskManagerError):
    """There is no room for the task: refused rather than remembered."""

    status = 503
    code = "queue_full"


class TooManyStreamsError(TaskManagerError):
    """No more streams of events may be open, or no more of a client."""

    status = 503
    code = "too_many_streams"


class NotStartedError(TaskManagerError):
    """The application's lifespan has not run, so there is no engine."""

    status = 503
    code = "not_started"


class ShuttingDownError(TaskManagerError):
    """The engine is stopping, and takes no new work."""

    status = 503
    code = "shutting_down"

    def __init__(self) -> None:
        # Seconds: the time of a restart.
        super().__init__("The server is shutting down.", 5)


class IllegalTransitionError(Exception):
    """A status was to follow one that it may not follow."""


class TaskFailedError(Exception):
    """The work of a task failed for a reason to be read."""


INTERNAL: TaskError = {
    "code": "internal_error",
    "message": "The task failed unexpectedly.",
}


def classify_failure(error: BaseException) -> TaskError:
    """The ``error`` that a task shows for what its handler raised."""
    match error:
        case TaskFailedError():
            return {"code": "task_failed", "message": str(error)}
        case asyncio.TimeoutError() | TimeoutError():
            # On Python 3.10 these are two classes.
            message = str(error) or "The task ran out of time."
            return {"code": "timeout", "message": message}
        case BrokenExecutor():
            message = "Whoever did the work is gone; submit the task again."
            return {"code": "executor_lost", "message": message}
        case _:
            return INTERNAL
