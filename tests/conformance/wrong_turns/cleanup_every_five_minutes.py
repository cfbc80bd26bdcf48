"""Bug: the cleanup looks only every five minutes.

Symptom: a task can be read for up to fifteen minutes after its end.
Cure: look more often than a delay would be noticed.
"""

import asyncio
import time

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["removed_after_ten_minutes"]


class Wrong(Honest):
    async def clean_regularly(self) -> None:
        while True:
            await asyncio.sleep(300)
            self.clean(time.monotonic())


app = Wrong().app
