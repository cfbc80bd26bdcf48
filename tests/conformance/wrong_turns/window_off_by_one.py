"""Bug: too many are more than ten, says the comparison.

Symptom: eleven requests a minute: ten in the log let another one in.
Cure: compare before the request is counted, with >= limit.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["eleventh_is_429"]


class Wrong(Honest):
    def too_many(self, accepted: int) -> bool:
        return accepted > 10


app = Wrong().app
