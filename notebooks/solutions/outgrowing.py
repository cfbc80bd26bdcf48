"""Solutions for 11-outgrowing-one-machine."""

import zlib
from typing import Any

from taskmanager import TaskManager
from taskmanager.ratelimit import client_key
from taskmanager.task import Task

# 2,000/s * 0.3 s, at half load; 2,000/s * 600 s * 2,000 bytes; and
# 2,000/s over 1,500/s, at half load, rounded up.
sizing = (1200, 2.4, 3)


def shard_of(address: str, shards: int) -> int:
    # the same in every process, unlike hash()
    return zlib.crc32(client_key(address).encode()) % shards


async def insist(
    manager: TaskManager, submission: dict[str, Any], attempts: int = 3
) -> Task:
    while True:
        task = manager.submit(submission)
        while not task.finished:
            await manager.wait(task.task_id, task.version)
        attempts -= 1
        if (
            attempts == 0
            or task.error is None
            or task.error["code"] not in ("internal_error", "executor_lost")
        ):
            return task
