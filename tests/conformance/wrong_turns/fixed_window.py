"""Bug: a counter for each minute of the clock is passed off as a sliding window.

Symptom: ten at the end of a minute and ten at the beginning of the next: twenty within seconds.
Cure: keep the times of the last ten, and look back sixty seconds from now.
"""

import time
from collections import deque
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["window_slides"]


class Wrong(Honest):
    async def allow(self, scope: Any) -> bool:
        minute, times = time.monotonic() // 60, self.clients.setdefault(self.address(scope), deque())
        async with self.lock:
            while times and times[0] // 60 != minute:
                times.popleft()
            if len(times) >= 10:
                return False
            times.append(time.monotonic())
            return True


app = Wrong().app
