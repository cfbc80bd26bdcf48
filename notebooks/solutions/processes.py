"""Solutions for 14-outgrowing-one-process."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from taskmanager import TaskManager
from taskmanager.task import Task

# One after the other; four, then two; all at once.
seconds = (6, 2, 1)


async def in_pieces(
    count: Callable[[int], int],
    segments: int,
    executor: Executor,
    report: Callable[[int], object],
) -> int:
    loop = asyncio.get_running_loop()
    found = 0
    for index in range(segments):
        # A cancellation is raised here, and ends the loop.
        found += await loop.run_in_executor(executor, count, index)
        report((index + 1) * 100 // segments)
    return found


async def insist(
    manager: TaskManager, submission: dict[str, Any], attempts: int = 3
) -> Task:
    for _ in range(attempts):
        task = manager.submit(submission)
        while not task.finished:
            await manager.wait(task.task_id, task.version)

        if task.error is None:
            break
        if task.error["code"] not in ("internal_error", "executor_lost"):
            break
    return task
