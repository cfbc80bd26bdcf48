"""Supervisor: starts a loop again when it dies, and remembers that it
did.

Rule: a loop that nobody restarts leaves a server that accepts tasks and
never runs them. One that dies at each start must not spin, so each
death doubles the pause before the next. Notebook:
10-shutdown-and-faults.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

FIRST_PAUSE = 1.0  # seconds
LONGEST_PAUSE = 30.0  # seconds

logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps loops alive; ``dead`` names those that wait for their
    restart.
    """

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.restarts = 0

    async def keep_alive(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run the loop ``run()`` for ever, under this name in the log.

        After a death it waits 1 s, then 2, 4, ... 30 s, until the loop
        has lived for 30 s.
        """
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE
        while True:
            started = clock()
            try:
                await run()
            except Exception:
                logger.exception("%(loop)s has died", {"loop": name})

            if clock() - started >= LONGEST_PAUSE:
                pause = FIRST_PAUSE
            self.dead.add(name)
            await asyncio.sleep(pause)
            self.dead.discard(name)
            self.restarts += 1
            pause = min(2 * pause, LONGEST_PAUSE)
