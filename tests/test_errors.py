"""Failures of tasks are classified, and only what a user should read is shown."""

import asyncio

import pytest

from taskmanager.errors import TaskFailedError, classify_failure


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (TaskFailedError("no such thing"), "task_failed", "no such thing"),
        (asyncio.TimeoutError("too slow"), "timeout", "too slow"),
        (TimeoutError(), "timeout", "The task ran out of time."),
        (ValueError("secret"), "internal_error", "The task failed unexpectedly."),
        (OSError("/etc/secret"), "internal_error", "The task failed unexpectedly."),
    ],
)
def test_a_failure_gets_a_code_and_a_message(error: Exception, code: str, message: str) -> None:
    assert classify_failure(error) == {"code": code, "message": message}
