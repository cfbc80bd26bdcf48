"""Bug: the worker catches CancelledError, its own as well.

Symptom: the stop never ends: the workers go on, and cannot be
cancelled.
Cure: let CancelledError pass where it is the worker that was cancelled.
"""

import asyncio
from contextlib import suppress

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["stops_with_work_under_way"]


class Wrong(Honest):
    async def worker(self) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await self.work_once()


app = Wrong().app
