"""Bug: a task without a priority is of low priority.

Symptom: it does not go before those that may wait.
Cure: normal is the default.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["default_priority_is_between"]


class Wrong(Honest):
    def put(self, task: dict[str, Any]) -> None:
        if task["priority"] == "normal":
            task["priority"] = "low"
        super().put(task)


app = Wrong().app
