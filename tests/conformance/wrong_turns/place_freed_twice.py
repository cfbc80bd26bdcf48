"""Bug: a task cancelled in process is taken off the count twice.

Symptom: the count, which is kept by hand, drifts, and more than 100
tasks are queued.
Cure: ask the queue for its size, or count where the status changes,
which happens once.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancel_frees_one_place"]


class Wrong(Honest):
    waiting = 0

    def full(self) -> bool:
        return self.waiting >= 100

    def put(self, task: dict[str, Any]) -> None:
        self.waiting += 1
        super().put(task)

    async def process(self, task: dict[str, Any]) -> None:
        self.waiting -= 1
        await super().process(task)

    def cancel_task(self, task: dict[str, Any]) -> None:
        self.waiting -= 1
        super().cancel_task(task)


app = Wrong().app
