"""Solutions for 04-polling."""

import asyncio
from typing import Any

import httpx


class Versioned:
    def __init__(self) -> None:
        self.version, self.changed = 1, asyncio.Event()

    def change(self) -> None:
        self.version += 1
        self.changed.set()  # and it stays set, for those who hold it
        self.changed = asyncio.Event()

    async def wait(self, since: int) -> int:
        while self.version <= since:
            await self.changed.wait()
        return self.version


versioned = Versioned


async def best(client: httpx.AsyncClient, submission: dict[str, Any]) -> dict[str, Any]:
    reply = await client.post("/tasks", json=submission)
    while reply.status_code == 429:
        await asyncio.sleep(int(reply.headers["retry-after"]))
        reply = await client.post("/tasks", json=submission)
    task: dict[str, Any] = reply.json()
    # the rest fits into one long poll
    await asyncio.sleep(max(0, int(reply.headers["retry-after"]) - 10))
    while task["finished_at"] is None:
        # Version 2 is "processing": only what comes after it is worth
        # an answer.
        news = await client.get(
            f"/tasks/{task['task_id']}", params={"wait": "true", "since": 2}
        )
        task = news.json()
    return task
