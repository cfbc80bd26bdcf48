"""The job: it adds numbers up, and takes as long as it is told to.

Where JOB_NOTES names a file, each run is noted there, at its begin and
at its end, with its first number. So it shows how often a job has run,
whatever became of its result.
"""

import asyncio
import os
import time
from typing import NamedTuple

WORKERS = 5
NOTES = os.environ.get("JOB_NOTES")
REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
Sum = dict[str, int]


class Found(NamedTuple):
    """What a library knows of a job."""

    status: str
    result: Sum | None = None


async def add_up(numbers: list[int], seconds: float) -> Sum:
    _note("begun", numbers)
    # Else a library's way to a coroutine is measured, and no more.
    if seconds:
        await asyncio.sleep(seconds)
    _note("done", numbers)
    return {"sum": sum(numbers)}


def add_up_in_thread(numbers: list[int], seconds: float) -> Sum:
    """The same, for those that run ordinary functions."""
    _note("begun", numbers)
    if seconds:
        time.sleep(seconds)
    _note("done", numbers)
    return {"sum": sum(numbers)}


def _note(event: str, numbers: list[int]) -> None:
    """Add a line, into which no other process writes."""
    if NOTES is None:
        return

    first, *_ = numbers
    file = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{event} {first}\n".encode())
    os.close(file)
