"""Bug: there is one worker loop, which awaits each task.

Symptom: five tasks take five times as long.
Cure: five loops side by side.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["five_in_parallel"]


class Wrong(Honest):
    async def work(self) -> None:
        await self.worker()


app = Wrong().app
