"""Solutions for 08-cancellation-and-failure."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from taskmanager.errors import TaskFailedError


async def with_clean_up(
    work: Callable[[], Awaitable[Any]], clean_up: Callable[[], Awaitable[None]]
) -> Any:
    try:
        return await work()
    except BaseException:
        # A CancelledError as well, which is no Exception.
        await clean_up()
        raise


async def all_or_nothing(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    runs = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*runs)
    except Exception:
        # One failed. Where this is cancelled, gather has cancelled all,
        # and once is enough.
        for run in runs:
            run.cancel()
        raise
    finally:
        await asyncio.gather(*runs, return_exceptions=True)


def classify(error: Exception) -> str:
    match error:
        case TaskFailedError():
            return "task_failed"
        # Before OSError, since the builtin one is an OSError.
        case asyncio.TimeoutError() | TimeoutError():
            return "timeout"
        case OSError():
            return "unavailable"
        case _:
            return "internal_error"
