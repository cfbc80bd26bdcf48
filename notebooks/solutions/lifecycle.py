"""Solutions for 02-task-lifecycle."""

from collections.abc import Awaitable, Callable
from typing import Any

from taskmanager.errors import IllegalTransitionError
from taskmanager.task import TRANSITIONS, TaskStatus

# The version is the number of states so far: queued is always the
# first, processing the second; no life has four.
never = {"B", "D", "F"}


def change(record: dict[str, Any], status: str) -> None:
    if status not in TRANSITIONS[record["status"]]:
        raise IllegalTransitionError(f"{record['status']} -> {status}")

    record["status"] = TaskStatus(status).value
    record["version"] += 1


async def finish(record: dict[str, Any], save: Callable[[], Awaitable[None]]) -> None:
    await save()

    # No await from here on: nobody can come in between.
    if record["status"] == "processing":
        record["status"] = "completed"
        record["version"] += 1
