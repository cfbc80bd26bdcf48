"""Bug: the stream writes str(task), which looks like JSON from afar.

Symptom: single quotes and None: no client can read it.
Cure: json.dumps.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["answers_are_json", "list_has_all"]


class Wrong(Honest):
    def piece(self, task: dict[str, Any], first: bool) -> str:
        return ("" if first else ",") + str(self.shown(task))


app = Wrong().app
