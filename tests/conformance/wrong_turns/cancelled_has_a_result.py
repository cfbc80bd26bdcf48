"""Bug: a cancelled task is given a result that says there is none.

Symptom: a client takes it for the result of the work.
Cure: what has no result shows null.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["no_early_result"]


class Wrong(Honest):
    def cancel_task(self, task: dict[str, Any]) -> None:
        task["result"] = "none"
        super().cancel_task(task)


app = Wrong().app
