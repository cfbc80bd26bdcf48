"""Solutions for 12-shutdown-and-faults."""

import asyncio
from collections.abc import Awaitable, Callable

# After pauses of 1, 2, 4, 8, 16, 30 and 30 s.
restarts = [1, 3, 7, 15, 31, 61, 91]


async def keep_alive(loop: Callable[[], Awaitable[None]]) -> None:
    pause = 1.0
    while True:
        try:
            await loop()
        except Exception:
            # No CancelledError comes here: that is a BaseException.
            await asyncio.sleep(pause)
            pause = min(2 * pause, 30)


# The naive one waits for the poll that was begun last, 1 s before the
# signal; ours for nobody.
gone_after = (9, 0)
