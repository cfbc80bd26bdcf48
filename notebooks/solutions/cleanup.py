"""Solutions for 09-cleanup-and-frozen-time."""

from collections import deque
from collections.abc import Callable
from typing import Any


def forget(
    records: dict[str, Any], finished: deque[tuple[float, str]], now: float
) -> None:
    while finished:
        finished_at, task_id = finished[0]
        if now < finished_at + 600:
            break
        finished.popleft()
        del records[task_id]


def select(
    poll: Callable[..., list[Any]], timeout: float | None, jump: Callable[[float], None]
) -> list[Any]:
    if timeout is None:
        return poll(None)

    ready = poll(0)
    if not ready:
        jump(timeout)
    return ready
