"""Solutions for 01-event-loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

# All begin at 0 s. The first gets up at 5 s and at 10 s, the others at
# 7 s and at 10 s.
moments = [0, 5, 7, 10]


async def gather(
    create_task: Callable[[Any], "asyncio.Task[Any]"],
    *coroutines: Coroutine[Any, Any, Any],
) -> list[Any]:
    tasks = [create_task(each) for each in coroutines]
    return [await task for task in tasks]
