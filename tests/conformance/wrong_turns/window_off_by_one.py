"""Bug: more than ten in the log is too many, says the comparison: it lets an eleventh in.

Symptom: eleven requests a minute.
Cure: compare before the request is counted, with >= limit.
"""

import time
from collections import deque
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["eleventh_is_429"]


class Wrong(Honest):
    async def allow(self, scope: Any) -> bool:
        now, times = time.monotonic(), self.clients.setdefault(self.address(scope), deque())
        async with self.lock:
            while times and times[0] <= now - 60:
                times.popleft()
            if len(times) > 10:
                return False
            times.append(now)
            return True


app = Wrong().app
