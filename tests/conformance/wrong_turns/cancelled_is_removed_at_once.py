"""Bug: DELETE takes the task out of the store.

Symptom: who waits for it, or asks for it, is told that it never was.
Cure: cancelled is a state as any other; the cleanup removes a task.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancel_queued"]


class Wrong(Honest):
    def cancel_task(self, task: dict[str, Any]) -> None:
        super().cancel_task(task)
        self.remove(task["task_id"])


app = Wrong().app
