"""Bug: of what has ended, the store keeps the last fifty.

Symptom: on a busy day a result is gone before its client asks for it.
Cure: remove by age; the rate limit bounds how many there are.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["kept_for_ten_minutes"]


class Wrong(Honest):
    def change(self, task: dict[str, Any], status: str) -> None:
        super().change(task, status)
        ended = [key for key, each in self.tasks.items() if each["status"] in FINAL]
        for task_id in ended[:-50]:
            self.remove(task_id)


app = Wrong().app
