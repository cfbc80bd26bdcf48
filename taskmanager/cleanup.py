"""Cleanup: forgets what has been finished, or idle, for long enough.

Rule: it goes by the order of finishing, so it reads nothing that stays,
and it yields every BATCH, so that a million that expire at once do not
stall the event loop. Notebook: 09-cleanup-and-frozen-time.
"""

import asyncio
import time

from taskmanager.ratelimit import SlidingWindow
from taskmanager.settings import Settings
from taskmanager.store import TaskStore

# Removals between two pauses: less than a millisecond.
BATCH = 500


def sweep(store: TaskStore, now: float, retention: float) -> bool:
    """Forget up to BATCH tasks; says whether more may be due.

    Those are due that finished ``retention`` seconds before ``now``.
    """
    for _ in range(BATCH):
        first = next(iter(store.finished), None)
        if first is None or first.status_since + retention > now:
            return False
        store.forget_oldest()
    return True


async def sweep_tasks(store: TaskStore, settings: Settings) -> None:
    """Forget tasks that are due, every CLEANUP_INTERVAL."""
    while True:
        await asyncio.sleep(settings.cleanup_interval)
        while sweep(store, time.monotonic(), settings.retention):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def sweep_clients(limiter: SlidingWindow, settings: Settings) -> None:
    """Forget clients that are idle, every CLEANUP_INTERVAL."""
    while True:
        await asyncio.sleep(settings.cleanup_interval)
        forgotten = BATCH
        # After a full batch, more may be idle.
        while forgotten == BATCH:
            forgotten = limiter.forget_idle(time.monotonic(), BATCH)
            await asyncio.sleep(0)
