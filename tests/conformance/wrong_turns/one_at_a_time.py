"""Bug: the worker loop awaits each task before it takes the next, and
there is one loop.

Symptom: five tasks take five times as long.
Cure: five loops side by side.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["five_in_parallel"]


class Wrong(Honest):
    async def work(self) -> None:
        await self.worker()


app = Wrong().app
