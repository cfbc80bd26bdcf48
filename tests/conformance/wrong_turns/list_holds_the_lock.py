"""Bug: the list keeps a lock for as long as it is being sent.

Symptom: a client that reads slowly, or not at all, stops all others.
Cure: copy what is to be sent under the lock, and send it without.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest, Submission

CAUGHT_BY = ["slow_reader_holds_up_nobody"]


class Wrong(Honest):
    async def stream(self, status: str | None, limit: int) -> AsyncIterator[str]:
        async with self.tasks_lock():
            async for piece in super().stream(status, limit):
                yield piece

    def listed(self) -> Iterable[dict[str, Any]]:
        # Nothing can change, it thinks.
        return self.tasks.values()

    async def submit(self, submission: Submission) -> JSONResponse:
        async with self.tasks_lock():
            return await super().submit(submission)

    def tasks_lock(self) -> asyncio.Lock:
        if not hasattr(self, "made"):
            self.made = asyncio.Lock()
        return self.made


app = Wrong().app
