"""Cleanup: forgets what has been finished, or idle, for long enough.

Rule: it goes by the order of finishing, so it reads nothing that stays,
and yields every BATCH, so that a million that expire at once do not
stall the event loop. Notebook: 07-cleanup-and-frozen-time.
"""

import asyncio
import time

from taskmanager.ratelimit import SlidingWindow
from taskmanager.settings import Settings
from taskmanager.store import TaskStore

BATCH = 500  # removals between two pauses: less than a millisecond


def sweep(
    store: TaskStore, limiter: SlidingWindow | None, now: float, retention: float
) -> bool:
    """Forget up to BATCH tasks finished for ``retention`` seconds, and
    idle clients; says if more may be due.
    """
    tasks = 0
    while (
        tasks < BATCH
        and store.finished
        and store.finished[0].changed_clock + retention <= now
    ):
        store.forget_oldest()
        tasks += 1
    clients = 0 if limiter is None else limiter.forget_idle(now, BATCH)
    return BATCH in (tasks, clients)


async def sweep_regularly(
    store: TaskStore, limiter: SlidingWindow | None, settings: Settings
) -> None:
    while True:
        await asyncio.sleep(settings.cleanup_interval)
        while sweep(store, limiter, time.monotonic(), settings.retention):  # noqa: ASYNC110 - not polling, but yielding
            await asyncio.sleep(0)
