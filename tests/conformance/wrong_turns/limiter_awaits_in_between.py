"""Bug: the limiter awaits something between counting a client's
requests and noting the new one, without its lock.

Symptom: thirty requests that come at the same moment are all accepted,
since each counts before any is noted.
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
        now, times = (
            time.monotonic(),
            self.clients.setdefault(self.address(scope), deque()),
        )
        while times and self.has_left(times[0], now):
            times.popleft()
        if self.too_many(len(times)):
            return False
        await asyncio.sleep(0)  # such as a call to a log server
        times.append(now)
        return True


app = Wrong().app
