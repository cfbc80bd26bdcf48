"""Bug: each piece of the list ends with a comma, also the last one.

Symptom: a parser that forgives it shows all; JSON.parse breaks.
Cure: a comma before each piece but the first.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["answers_are_json"]


class Wrong(Honest):
    def piece(self, task: dict[str, Any], first: bool) -> str:
        return self.written(task) + ","


app = Wrong().app
