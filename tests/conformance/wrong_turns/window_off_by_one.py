"""Bug: more than ten in the log is too many, says the comparison: it
lets an eleventh in.

Symptom: eleven requests a minute.
Cure: compare before the request is counted, with >= limit.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["eleventh_is_429"]


class Wrong(Honest):
    def too_many(self, accepted: int) -> bool:
        return accepted > 10


app = Wrong().app
