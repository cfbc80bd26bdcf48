"""Bug: a task is fetched before a worker is free for it.

Symptom: a task of high priority waits behind one of low priority that
was fetched already.
Cure: fetch only when a worker is free, so that the queue decides at the
last moment.
"""

import asyncio
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["high_goes_first"]


class Wrong(Honest):
    async def work(self) -> None:
        self.fetched: asyncio.Queue[Any] = asyncio.Queue(1)
        await asyncio.gather(self.prefetch(), super().work())

    async def prefetch(self) -> None:
        while True:
            await self.fetched.put(await self.queue.get())

    async def fetch(self) -> Any:
        return await self.fetched.get()


app = Wrong().app
