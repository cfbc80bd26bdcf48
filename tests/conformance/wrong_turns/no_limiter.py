"""Bug: there is no rate limit at all.

Symptom: a client may ask as often as it likes. A card that tells this
ten times over is of no help.
Cure: ten timestamps for each address, and 429.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["eleventh_is_429"]


class Wrong(Honest):
    def limiter_goes_first(self) -> None:
        pass


app = Wrong().app
