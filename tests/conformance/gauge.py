"""Gauge: tells a process that blocks from one that gets no processor.

Rule: on Linux the kernel is asked. A thread in state R wants to run,
one in state D waits for a disk, and schedstat says for how long a
thread was ready to run and had to wait. Elsewhere there is the
processor time alone, and a watcher that wakes late says that the
machine is busy.
"""

import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

# Captured, since the clocks of the solution are virtual.
now = time.monotonic
PROC = Path("/proc")
HAS_RUN_QUEUE = (PROC / "self" / "schedstat").exists()
NAME = "the processor time of its process"
if HAS_RUN_QUEUE:
    NAME = "the kernel's run queue (/proc/…/schedstat)"
# Of the time that passes: whoever wants less of the processor waits for
# something else.
STILL = 0.04
# By so many seconds anybody may wake late.
LATE = 0.02
_watchers: set[int] = set()


def watches() -> None:
    """Leave the thread that calls this out of all readings."""
    _watchers.add(threading.get_native_id())


class Reading(NamedTuple):
    """What a process and all that it started had of the processor."""

    used: float  # seconds
    # Seconds in which it was ready to run, and had to wait.
    queued: float
    # Whether it wants to run at this moment.
    eager: bool


def read(process: int, without: frozenset[int] = frozenset()) -> Reading:
    """The sum over all its threads, and those of its descendants.

    ``without`` names threads that do not count.
    """
    used = 0.0
    queued = 0.0
    eager = False
    for thread in _threads_of(process):
        if int(thread.name) in without:
            continue
        try:
            _, _, state = (thread / "stat").read_text("latin-1").rpartition(") ")
            on_processor, in_queue, _ = (thread / "schedstat").read_text().split()
        except (OSError, ValueError):
            # It has ended meanwhile.
            continue

        used += int(on_processor) / 1e9
        queued += int(in_queue) / 1e9
        eager = eager or state.startswith(("R", "D"))
    return Reading(used, queued, eager)


def _threads_of(process: int) -> list[Path]:
    """The folders of all threads, of a process and its descendants."""
    found = []
    waiting = [process]
    while waiting:
        tasks = PROC / str(waiting.pop()) / "task"
        try:
            threads = list(tasks.iterdir())
        except OSError:
            continue

        found += threads
        for thread in threads:
            try:
                children = (thread / "children").read_text()
            except OSError:
                # It has ended, or the kernel does not tell.
                continue
            waiting += map(int, children.split())
    return found


def used_by(process: int) -> float:
    """Seconds of the processor, of all its threads; 0 where unknown."""
    try:
        text = (PROC / str(process) / "stat").read_text("latin-1")
    except OSError:
        return 0.0
    # Of proc(5): what follows the name starts with the third field.
    _, _, fields = text.rpartition(") ")
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Load:
    """How this process fares, from one look to the next."""

    def __init__(self) -> None:
        self.passed = 0.0  # real seconds
        self.queued = 0.0
        # For how many seconds in a row nothing has gone on.
        self.still = 0.0
        self._looked = now()
        self._seen = self._read()

    def look(self, slept: float) -> None:
        """Take in what has gone on while the caller slept so long."""
        looked = now()
        passed = looked - self._looked
        self._looked = looked
        self.passed += passed

        seen = self._read()
        used = seen.used - self._seen.used
        queued = seen.queued - self._seen.queued
        self._seen = seen
        if not HAS_RUN_QUEUE:
            late = passed - slept
            queued = late if late > LATE else 0.0
        # Threads that have ended are missing from the sum.
        self.queued += max(queued, 0.0)

        goes_on = seen.eager or used + queued > STILL * passed
        self.still = 0.0 if goes_on else self.still + slept

    @property
    def unhindered(self) -> float:
        """Seconds without those in which it waited for the processor.

        Where the kernel does not tell them apart, none is sure.
        """
        return self.passed - self.queued if HAS_RUN_QUEUE else 0.0

    def _read(self) -> Reading:
        if HAS_RUN_QUEUE:
            caller = threading.get_native_id()
            return read(os.getpid(), frozenset(_watchers | {caller}))
        return Reading(time.process_time(), 0.0, eager=False)
