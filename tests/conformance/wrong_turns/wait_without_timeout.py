"""Bug: the long poll waits for the event, however long that takes.

Symptom: a poll of a queued task hangs until proxies and clients give
up.
Cure: asyncio.wait_for(event.wait(), 10), and answer with the task as it
is then.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["wait_ends_after_ten_seconds"]


class Wrong(Honest):
    async def wait(self, task: dict[str, Any]) -> None:
        if task["status"] not in FINAL:
            await task["event"].wait()


app = Wrong().app
