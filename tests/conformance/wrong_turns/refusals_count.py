"""Bug: a refused request is written into the log of the window as well.

Symptom: a client that keeps asking is never let in again.
Cure: count what was accepted.
"""

import time
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["refusals_do_not_count"]


class Wrong(Honest):
    async def allow(self, scope: Any) -> bool:
        allowed = await super().allow(scope)
        if not allowed:
            times = self.clients[self.address(scope)]
            times.popleft()
            times.append(time.monotonic())
        return allowed


app = Wrong().app
