"""Bug: a list is sent piece by piece, with no comma between the pieces.

Symptom: a list of none or of one can be read, and a list of two cannot.
Cure: a comma before each piece but the first; look at a list of two
with a JSON parser.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["answers_are_json"]


class Wrong(Honest):
    def piece(self, task: dict[str, Any], first: bool) -> str:
        return self.written(task)


app = Wrong().app
