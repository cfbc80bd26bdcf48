"""Bug: of a batch of five, the loop variable alone is processed.

Symptom: of five tasks one is done; the others stay queued for ever.
Cure: one loop a worker, one task at a time in it; or process the whole
batch.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["nothing_is_lost"]


class Wrong(Honest):
    async def work(self) -> None:
        while True:
            *_, task_id = await self.queue.get()
            for _ in range(4):
                if not self.queue.empty():
                    *_, task_id = self.queue.get_nowait()

            if self.tasks[task_id]["status"] == "queued":
                await self.process(self.tasks[task_id])


app = Wrong().app
