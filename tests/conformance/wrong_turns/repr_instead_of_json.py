"""Bug: the stream writes str(task), which looks like JSON from afar.

Symptom: single quotes and None: no client can read it.
Cure: json.dumps.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["answers_are_json"]


class Wrong(Honest):
    def written(self, task: dict[str, Any]) -> str:
        return str(self.shown(task))


app = Wrong().app
