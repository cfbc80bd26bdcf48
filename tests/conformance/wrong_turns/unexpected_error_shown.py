"""Bug: whatever an exception says is shown to the client.

Symptom: clients read what stands in the log of others: paths, names,
and now and then a password.
Cure: show what is meant for clients, and log the rest.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["unexpected_error_is_not_shown"]


class Wrong(Honest):
    def fail(self, task: dict[str, Any], error: Exception) -> None:
        task["error"] = repr(error)
        self.change(task, "failed")


app = Wrong().app
