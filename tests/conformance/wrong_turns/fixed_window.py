"""Bug: a counter for each minute poses as a sliding window.

Symptom: ten at the end of a minute and ten at the beginning of the
next: twenty within seconds.
Cure: keep the times of the last ten, and look back sixty seconds from
now.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["window_slides"]


class Wrong(Honest):
    def has_left(self, accepted: float, now: float) -> bool:
        return accepted // 60 != now // 60


app = Wrong().app
