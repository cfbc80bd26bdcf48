"""Watchdog: ends a process in which the solution blocks or spins.

It is a thread, and says at which line the solution is.

Rule: a process is judged by what it had of the processor, never by how
long it took. One that waits without wanting any is given up early:
nothing will come, since all that waits for the clock waits for a
virtual one. One that wants more than it gets is not judged at all.
"""

import linecache
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conformance import gauge
from tests.conformance.solution import Solution

# Of the processor, for one requirement.
REAL_SECONDS = float(os.environ.get("CONFORMANCE_REAL_SECONDS", 8))
# By the clock, without what it waited for the processor.
UNHINDERED = 4 * REAL_SECONDS
# By the clock in any case, since others may be using the processor.
AT_MOST = 20 * REAL_SECONDS
# Without any wish for the processor.
BLOCKED_SECONDS = min(2.0, REAL_SECONDS)
NO_REST = (
    f"it came to no rest within {REAL_SECONDS:g} real seconds: "
    "it blocks the event loop or waits busily"
)
BLOCKED = (
    f"nothing went on for {BLOCKED_SECONDS:g} real seconds: it blocks the event loop, "
    "or waits for a thread or process that virtual time does not reach"
)
TOO_BUSY = (
    f"the machine is too busy: by {gauge.NAME}, the application had too little of the "
    f"processor in {AT_MOST:g} s to be judged"
)


def watch(solution: Solution, give_up: Callable[[str], None]) -> None:
    """Watch over the thread that calls this.

    When it hangs, ``give_up`` is told so, in a sentence.
    """
    player = threading.get_ident()
    parent = os.getppid()
    step = min(0.25, REAL_SECONDS / 4)
    # The class whose instances wait for real seconds, as long as the
    # clock is not replaced.
    pause = threading.Event()

    def look() -> None:
        gauge.watches()
        load = gauge.Load()
        happened = None
        while happened is None:
            pause.wait(step)
            if os.getppid() != parent:
                # Nobody waits for the verdict any more.
                os._exit(1)
            load.look(step)
            happened = judged(load)

        frames = sys._current_frames()
        # Of a job in another thread, where the loop waits for one.
        places = [frames.pop(player), *frames.values()]
        lines = [_line_of(frame, solution) for frame in places]
        if happened != TOO_BUSY:
            happened += next(filter(None, lines), "")
        give_up(happened)

    threading.Thread(target=look, daemon=True).start()


def judged(load: gauge.Load) -> str | None:
    """What is wrong; None as long as nothing is."""
    if load.still >= BLOCKED_SECONDS:
        return BLOCKED
    if time.process_time() >= REAL_SECONDS:
        return NO_REST
    if load.unhindered >= UNHINDERED:
        return NO_REST
    return TOO_BUSY if load.passed >= AT_MOST else None


def _line_of(frame: Any, solution: Solution) -> str:
    """The line of the solution that is being executed, if any."""
    while frame is not None:
        line = line_at(frame.f_code.co_filename, frame.f_lineno, solution)
        if line:
            return line
        frame = frame.f_back
    return ""


def line_at(file: str, number: int, solution: Solution) -> str:
    """The line in words; empty where the solution does not own it."""
    if not solution.owns(file):
        return ""
    line = linecache.getline(file, number).strip()
    return f". It is at {Path(file).name}:{number}: {line}"
