"""Bug: the work sleeps with time.sleep.

Symptom: nobody is answered while a task is in process.
Cure: await asyncio.sleep.
"""

import time
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["nothing_blocks"]


class Wrong(Honest):
    async def take(self, task: dict[str, Any], seconds: int) -> None:
        self.doze(seconds)
        task["progress"] = 100

    def doze(self, seconds: int) -> None:
        time.sleep(seconds)


app = Wrong().app
