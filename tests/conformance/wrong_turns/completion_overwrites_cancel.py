"""Bug: DELETE sets the status, and lets the work go on.

Symptom: a cancelled task is completed some seconds later, when its work
sets the status again.
Cure: cancel the work, and let the first final status win.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancelled_stays_cancelled"]


class Wrong(Honest):
    def cancel_task(self, task: dict[str, Any]) -> None:
        self.change(task, "cancelled")

    def complete(self, task: dict[str, Any], result: Any) -> None:
        task["result"] = result
        self.change(task, "completed")


app = Wrong().app
