"""Bug: the heap compares priority and then the random id.

Symptom: of equal priority, whose id is smaller goes first.
Cure: a counter between the two.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import RANK, Honest

CAUGHT_BY = ["equal_priorities_keep_their_order"]


class Wrong(Honest):
    def put(self, task: dict[str, Any]) -> None:
        # A random id does the same, now and then.
        number = -task["number"]
        self.queue.put_nowait((RANK[task["priority"]], number, task["task_id"]))


app = Wrong().app
