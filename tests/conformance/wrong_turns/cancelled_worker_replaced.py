"""Bug: a worker whose task is cancelled is replaced, though it goes on.

Symptom: with each task that is cancelled in process, one more is
processed at a time.
Cure: replace a worker only when it has ended; with a semaphore, release
it in one place only.
"""

import asyncio
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancel_lets_no_sixth_in"]


class Wrong(Honest):
    def cancel_task(self, task: dict[str, Any]) -> None:
        run = self.running.get(task["task_id"])
        if run:
            run.add_done_callback(lambda _: self.replace_worker())
        super().cancel_task(task)

    def replace_worker(self) -> None:
        worker = asyncio.create_task(self.worker())
        # So that it ends with the application.
        self.running[worker.get_name()] = worker


app = Wrong().app
