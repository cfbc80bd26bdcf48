"""Cleanup: forgets what has been finished, or idle, for long enough.

Rules: it goes by the order of finishing and stops at the first task that is too young, so it reads nothing that
stays, and never meets an unfinished task. It pauses after some hundred removals: a million that expire at once
must not stall the event loop. Notebook: 07-cleanup-and-frozen-time.
"""

import asyncio
import time

from taskmanager.ratelimit import SlidingWindow
from taskmanager.store import TaskStore

BATCH = 500  # removals between two pauses: less than a millisecond


def sweep(store: TaskStore, limiter: SlidingWindow | None, now: float, retention: float) -> bool:
    """Forget up to BATCH finished tasks and as many idle clients; says whether more may be due.

    A task goes once ``retention`` seconds have passed since its finish, not a moment before.
    """
    tasks = 0
    while tasks < BATCH and store.finished and store.finished[0].changed_clock + retention <= now:
        store.forget_oldest()
        tasks += 1
    clients = limiter.forget_idle(now, BATCH) if limiter is not None else 0
    return BATCH in (tasks, clients)


async def clean_up(store: TaskStore, limiter: SlidingWindow | None, *, retention: float, interval: float) -> None:
    """Sweep every ``interval`` seconds, for ever."""
    while True:
        await asyncio.sleep(interval)
        while sweep(store, limiter, time.monotonic(), retention):
            await asyncio.sleep(0)
