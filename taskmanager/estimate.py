"""Estimate: when can a task be expected to be done?

A free worker takes the next task at once. Where none is free, the next
task begins when the first of those in process should end. Each task
ahead that has to wait as well puts this off by its share: the mean
duration of what waits, divided by the number of workers. Where some
workers are free, but not enough for all that are ahead, one mean
duration passes before any of them is free again.

    begin = until a worker is free
            + mean * (tasks ahead - free workers) / workers
            (+ mean, where some workers were free)

Rule: pure functions, in seconds. They are exact for one worker and
equal tasks, else approximate. Notebook: 04-backpressure-and-priorities.
"""

import math
from collections.abc import Sequence

# Seconds until uvicorn closes an idle connection; see stopping. A
# client that waits exactly that long, and sends its next request on the
# same connection, meets the closing.
IDLE_TIMEOUT = 75


def seconds_until_free(ends: Sequence[float], workers: int) -> float:
    """The seconds until a worker is free.

    ``ends`` has, for each task in process, the seconds until it should
    end, below 0 where it is late.
    """
    if len(ends) < workers:
        return 0.0
    return max(0.0, min(ends))


def seconds_until_begun(
    ahead: int, mean: float, ends: Sequence[float], workers: int
) -> float:
    """The seconds until a task begins that has so many ahead of it.

    ``mean`` is the mean duration of what waits, in seconds.
    """
    free = workers - len(ends)
    if ahead < free:
        return 0.0

    seconds = seconds_until_free(ends, workers)
    seconds += mean * (ahead - free) / workers
    if free > 0:
        seconds += mean

    return seconds


def whole_seconds(seconds: float) -> int:
    """What ``Retry-After`` says of so many seconds.

    They are rounded up, at least 1, and never IDLE_TIMEOUT.
    """
    whole = max(1, math.ceil(seconds))
    if whole == IDLE_TIMEOUT:
        whole += 1

    return whole
