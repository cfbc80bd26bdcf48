"""Bug: a cancelled task is taken out of the middle of the heap.

Symptom: what is left is no heap: now and then, a task of low priority
is begun before one of high priority.
Cure: heapify afterwards, or leave it there and skip it when its turn
comes.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancel_leaves_the_order"]


class Wrong(Honest):
    def cancel_task(self, task: dict[str, Any]) -> None:
        heap: list[Any] = self.queue._queue  # type: ignore[attr-defined]
        heap[:] = [
            (rank, number, task_id)
            for rank, number, task_id in heap
            if task_id != task["task_id"]
        ]
        super().cancel_task(task)


app = Wrong().app
