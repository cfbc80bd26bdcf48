"""Bug: nobody catches what a task raises, to change its status.

Symptom: a task that fails stays in process for ever.
Cure: every end of the work changes the status, whatever it raises.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["failure_is_shown"]


class Wrong(Honest):
    def fail(self, task: dict[str, Any], error: Exception) -> None:
        pass


app = Wrong().app
