"""Solutions for 07-they-all-come-back."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

# 3 · 3 · 3: the first sends three, and each of them becomes three, and
# those three again. Where the others pass on, it is three.
amplified = (27, 3)


def pause(refusals: int, chance: random.Random) -> float:
    # A bound that has been reached need not be doubled any more.
    bound = min(20.0, 0.5 * 2 ** min(refusals - 1, 10))
    return chance.uniform(0, bound)


class AnyBudget:
    """It counts in parts of a retry, since those are whole numbers."""

    def __init__(self, every: int, saved: int) -> None:
        self.every = every
        self.most = every * saved
        self.parts = self.most

    def sent(self) -> None:
        self.parts = min(self.most, self.parts + 1)

    def may_retry(self) -> bool:
        if self.parts < self.every:
            return False
        self.parts -= self.every
        return True


async def once(
    key: str, work: Callable[[], Awaitable[Any]], begun: dict[str, Any]
) -> Any:
    # Between this look and the note, there is no await.
    if key not in begun:
        begun[key] = asyncio.ensure_future(work())
    run = begun[key]

    try:
        # Whoever is cancelled while waiting ends nobody's work.
        return await asyncio.shield(run)
    except Exception:
        # Another may have freed it, and have begun anew.
        if begun.get(key) is run:
            del begun[key]
        raise
