"""Bug: the limiter awaits between counting and noting.

Symptom: thirty requests that come at the same moment are all accepted,
since each counts a client's requests before any is noted.
Cure: hold the lock from the count to the note, or await nothing in
between.
"""

import asyncio
import time
from collections import deque
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["burst_is_limited"]


class Wrong(Honest):
    async def allow(self, scope: Any) -> bool:
        now = time.monotonic()
        times = self.clients.setdefault(self.address(scope), deque())
        while times and self.has_left(times[0], now):
            times.popleft()
        if self.too_many(len(times)):
            return False

        # Such as a call to a log server.
        await asyncio.sleep(0)
        times.append(now)
        return True


app = Wrong().app
