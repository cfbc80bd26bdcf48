"""Watchdog: a thread that ends a process in which the solution blocks
or spins, and says at which line it is.

Rule: real time counts here, and a process that waits without any use of
the processor is given up earlier than one that is at work: nothing will
come, since all that waits for the clock waits for a virtual one.
"""

import linecache
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.conformance.solution import Solution

# of the processor, for one requirement
REAL_SECONDS = float(os.environ.get("CONFORMANCE_REAL_SECONDS", 8))
AT_MOST = 4 * REAL_SECONDS  # by the clock, since others may be using the processor
BLOCKED_SECONDS = min(2.0, REAL_SECONDS)  # without any use of the processor
WATCHDOG = "watchdog of the grading"
NO_REST = f"it came to no rest within {REAL_SECONDS:g} real seconds: it blocks the event loop or waits busily"
BLOCKED = (
    f"nothing went on for {BLOCKED_SECONDS:g} real seconds: it blocks the event loop, or waits for a thread or process "
    "that virtual time does not reach"
)


def watch(solution: Solution, answer: Callable[[str], None]) -> None:
    """Watch over the thread that calls this; when it hangs, ``answer``
    is told so, in a sentence.
    """
    player, step = threading.get_ident(), min(0.25, REAL_SECONDS / 4)

    def look() -> None:
        passed = blocked = used = 0.0
        while used < REAL_SECONDS and passed < AT_MOST and blocked < BLOCKED_SECONDS:
            threading.Event().wait(step)  # of real time
            passed, before, used = passed + step, used, time.process_time()
            blocked = 0.0 if used - before > 0.01 else blocked + step
        what = BLOCKED if blocked >= BLOCKED_SECONDS else NO_REST
        answer(what + _line_of(sys._current_frames()[player], solution))

    threading.Thread(target=look, name=WATCHDOG, daemon=True).start()


def _line_of(frame: Any, solution: Solution) -> str:
    """The line of the solution that is being executed, if any."""
    while frame is not None:
        if solution.owns(file := frame.f_code.co_filename):
            line = linecache.getline(file, frame.f_lineno).strip()
            return f". It is at {os.path.basename(file)}:{frame.f_lineno}: {line}"
        frame = frame.f_back
    return ""
