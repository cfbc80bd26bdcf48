"""Bug: nothing ever takes a task from the queue.

Symptom: all tasks stay queued. Then never are more than five in
process, which is no merit.
Cure: start the workers with the application.
"""

import asyncio

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["works_unasked"]


class Wrong(Honest):
    async def work(self) -> None:
        await asyncio.Event().wait()


app = Wrong().app
