"""Solutions for 06-rate-limiting."""

import math
from collections import deque

# Two bursts around a full minute; five in any window; five, and at 12,
# 24, 36 and 48 s one each. The one at 60 s comes when the burst has
# left the window.
bursts = (10, 5, 9)


def hit(times: deque[float], now: float, limit: int, window: int) -> bool:
    while times and times[0] + window <= now:
        times.popleft()

    if len(times) >= limit:
        return False
    times.append(now)
    return True


def wait(times: deque[float], now: float, limit: int, window: int) -> int:
    if len(times) < limit:
        return 0

    oldest = times[0]
    seconds = math.ceil(window - (now - oldest))
    # These are floats: the difference may have been rounded down.
    if now + seconds < oldest + window:
        seconds += 1
    return seconds


def gcra(tat: float, now: float, limit: int, window: int) -> tuple[bool, float]:
    moved = max(tat, now) + window / limit
    if moved > now + window:
        return False, tat
    return True, moved
