"""Solutions for 01-event-loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any

# The job of 4 s runs beside those of 1 and 2 s, which end at 3 s. In
# the second, each begins where the one before has ended: 1 + 4 + 2.
ends = (4, 7)


async def gather(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    return [await task for task in tasks]
