"""Solutions for 15-outgrowing-one-machine."""

import zlib
from typing import Any

from taskmanager import TaskManager
from taskmanager.ratelimit import client_key
from taskmanager.task import Task

# 2,000/s * 0.3 s, at half load; 2,000/s * 600 s * 2,000 bytes; and
# 2,000/s over 1,500/s, at half load, rounded up.
sizing = (1200, 2.4, 3)


def shard_of(address: str, shards: int) -> int:
    # The same in every process, unlike hash().
    client = client_key(address)
    return zlib.crc32(client.encode()) % shards


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
