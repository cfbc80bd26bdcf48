"""What can go wrong: errors that carry their HTTP status and code, and
the names of task failures.

Rule: an error says what it is once, here: the engine raises it without
knowing HTTP, and the API answers it without knowing the engine.
Notebook: 06-cancellation-and-failure.
"""

import asyncio
from concurrent.futures import BrokenExecutor
from typing import Literal, TypeAlias

# the error of a failed task
TaskError: TypeAlias = dict[Literal["code", "message"], str]


class TaskManagerError(Exception):
    """Base of what the engine refuses. Its text is for the client;
    ``retry_after`` is in whole seconds, if any.
    """

    status, code = 500, "internal_error"

    def __init__(self, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TaskNotFoundError(TaskManagerError):  # unknown, or cleaned up after it finished
    status, code = 404, "task_not_found"


# completed or failed, so it cannot be cancelled
class TaskFinishedError(TaskManagerError):
    status, code = 409, "task_finished"


class KeyReusedError(TaskManagerError):  # an Idempotency-Key stands for one submission
    status, code = 422, "idempotency_key_reused"


class QueueFullError(TaskManagerError):  # backpressure: refused rather than remembered
    status, code = 503, "queue_full"


class ShuttingDownError(TaskManagerError):  # no new work
    status, code = 503, "shutting_down"


class IllegalTransitionError(Exception):
    """A status was to follow one that it may not follow: a bug, not a
    user's mistake.
    """


class TaskFailedError(Exception):
    """Raised by a handler whose work failed for a reason that its user
    should read.
    """


INTERNAL: TaskError = {
    "code": "internal_error",
    "message": "The task failed unexpectedly.",
}


def classify_failure(error: Exception) -> TaskError:
    """The ``error`` that a task shows for what its handler raised."""
    match error:
        case TaskFailedError():
            return {"code": "task_failed", "message": str(error)}
        # on Python 3.10 these are two classes
        case asyncio.TimeoutError() | TimeoutError():
            return {
                "code": "timeout",
                "message": str(error) or "The task ran out of time.",
            }
        case BrokenExecutor():
            return {
                "code": "executor_lost",
                "message": "Whoever did the work is gone; submit the task again.",
            }
        case _:
            return INTERNAL
