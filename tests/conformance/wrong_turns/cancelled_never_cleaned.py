"""Bug: the cleanup looks for completed and failed tasks only.

Symptom: every cancelled task stays in memory for ever.
Cure: whatever is final is cleaned up.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancelled_is_removed"]


class Wrong(Honest):
    def is_old(self, task: dict[str, Any], now: float) -> bool:
        return task["status"] != "cancelled" and super().is_old(task, now)


app = Wrong().app
