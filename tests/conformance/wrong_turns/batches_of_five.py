"""Bug: gather runs five tasks, and then the next five.

Symptom: four workers idle until the slowest of their batch is done
(head-of-line blocking).
Cure: gather over five loops, each of which takes the next task when it
is free.
"""

import asyncio

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["no_head_of_line_blocking"]


class Wrong(Honest):
    async def work(self) -> None:
        while True:
            batch = [await self.queue.get()]
            while len(batch) < 5 and not self.queue.empty():
                batch.append(self.queue.get_nowait())

            tasks = [
                self.tasks[task_id] for *_, task_id in batch if task_id in self.tasks
            ]
            queued = [task for task in tasks if task["status"] == "queued"]
            await asyncio.gather(*map(self.process, queued))


app = Wrong().app
