"""Failures of tasks are classified.

Only what a user should read is shown.
"""

import asyncio
from concurrent.futures import BrokenExecutor

import pytest

from taskmanager.errors import (
    QueueFullError,
    TaskFailedError,
    TaskFinishedError,
    TaskManagerError,
    TaskNotFoundError,
    classify_failure,
)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (TaskFailedError("no such thing"), "task_failed", "no such thing"),
        (asyncio.TimeoutError("too slow"), "timeout", "too slow"),
        (asyncio.TimeoutError(), "timeout", "The task ran out of time."),
        # On Python 3.10 it is not the same class.
        (TimeoutError(), "timeout", "The task ran out of time."),
        (
            BrokenExecutor("secret"),
            "executor_lost",
            "Whoever did the work is gone; submit the task again.",
        ),
        (ValueError("secret"), "internal_error", "The task failed unexpectedly."),
        (OSError("/etc/secret"), "internal_error", "The task failed unexpectedly."),
    ],
)
def test_a_failure_gets_a_code_and_a_message(
    error: Exception, code: str, message: str
) -> None:
    assert classify_failure(error) == {"code": code, "message": message}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TaskNotFoundError, 404, "task_not_found"),
        (TaskFinishedError, 409, "task_finished"),
        (QueueFullError, 503, "queue_full"),
    ],
)
def test_an_error_carries_what_its_answer_needs(
    error: type[TaskManagerError], status: int, code: str
) -> None:
    raised = error("Why.", retry_after=7)
    assert raised.status == status
    assert raised.code == code
    assert str(raised) == "Why."
    assert raised.retry_after == 7

    assert error("Why.").retry_after is None
