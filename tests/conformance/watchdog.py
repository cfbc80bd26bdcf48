"""Watchdog: ends a process in which the solution blocks or spins.

It is a thread, and says at which line the solution is.

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

# Of the processor, for one requirement.
REAL_SECONDS = float(os.environ.get("CONFORMANCE_REAL_SECONDS", 8))
# By the clock, since others may be using the processor.
AT_MOST = 4 * REAL_SECONDS
# Without any use of the processor.
BLOCKED_SECONDS = min(2.0, REAL_SECONDS)
WATCHDOG = "watchdog of the grading"
NO_REST = (
    f"it came to no rest within {REAL_SECONDS:g} real seconds: "
    "it blocks the event loop or waits busily"
)
BLOCKED = (
    f"nothing went on for {BLOCKED_SECONDS:g} real seconds: it blocks the event loop, "
    "or waits for a thread or process that virtual time does not reach"
)


def watch(solution: Solution, answer: Callable[[str], None]) -> None:
    """Watch over the thread that calls this.

    When it hangs, ``answer`` is told so, in a sentence.
    """
    player = threading.get_ident()
    step = min(0.25, REAL_SECONDS / 4)

    def look() -> None:
        passed = 0.0
        blocked = 0.0
        used = 0.0
        while used < REAL_SECONDS and passed < AT_MOST and blocked < BLOCKED_SECONDS:
            threading.Event().wait(step)  # real seconds
            passed += step

            before = used
            used = time.process_time()
            blocked = 0.0 if used - before > 0.01 else blocked + step

        what = BLOCKED if blocked >= BLOCKED_SECONDS else NO_REST
        frame = sys._current_frames()[player]
        answer(what + _line_of(frame, solution))

    threading.Thread(target=look, name=WATCHDOG, daemon=True).start()


def _line_of(frame: Any, solution: Solution) -> str:
    """The line of the solution that is being executed, if any."""
    while frame is not None:
        file = frame.f_code.co_filename
        if solution.owns(file):
            line = linecache.getline(file, frame.f_lineno).strip()
            return f". It is at {os.path.basename(file)}:{frame.f_lineno}: {line}"
        frame = frame.f_back
    return ""
