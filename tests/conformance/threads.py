"""Threads: they follow virtual time, whoever started them.

A thread is at work, or it waits. Time stands still while one is at
work, and moves on to the next moment at which one wants to wake.

Rule: whatever waits in Python's own ways (time.sleep, threading's
events, conditions and semaphores, queues, futures) is seen. What waits
elsewhere, for a socket, a process or a loop of its own, is out of
reach: once nothing goes on in it for a while, time moves on without it.
"""

import contextlib
import heapq
import itertools
import queue
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from tests.conformance import gauge

# Real seconds in which nothing goes on, before time moves on without a
# thread that seems to be at work.
PATIENCE = 0.3
# Real seconds, from one look to the next.
LOOK = 0.05
SLICE = 0.005
LONG = 1.0
# Whose threads wait for processes, and do no work themselves.
OF_PROCESSES = ("concurrent.futures.process", "multiprocessing")


class Clock(Protocol):
    """The event loop, as far as threads need it."""

    def time(self) -> float: ...
    def jump(self, seconds: float) -> None: ...
    def poke(self) -> None: ...
    def is_running(self) -> bool: ...


class Waiter:
    """The lock on which one thread waits: who wakes it releases it.

    A Condition takes it for a lock of threading's.
    """

    def __init__(self, threads: "Threads") -> None:
        self._threads = threads
        self.thread = threading.current_thread()
        self.lock = threading.Lock()
        self.lock.acquire()
        self.was_woken = False
        self.was_late = False

    def release(self) -> None:
        self._threads.wake(self, late=False)


class Threads:
    """Those of one process, and what they wait for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.RLock()
        # Threads, and futures of other executors than threads.
        self._at_work: set[Any] = set()
        # When each waiter is to wake at the latest.
        self._alarms: list[tuple[float, int, Waiter]] = []
        self._numbers = itertools.count()
        self._still: gauge.Load | None = None
        self._looked_for = 0.0
        # What virtual time does not reach.
        self._beyond: set[Any] = set()
        # For how many seconds the loop stood still in all, and the
        # files and lines that led to the first of it, the last first.
        self.blocked = 0.0
        self.blocked_at: list[tuple[str, int]] = []

    # What the loop asks

    @property
    def are_at_work(self) -> bool:
        return bool(self._at_work)

    def beyond(self) -> list[str]:
        """The names of those that virtual time does not reach."""
        with self._guard:
            return sorted({_name_of(each) for each in self._beyond})

    def next_alarm(self) -> float | None:
        """When the next thread wants to wake, if any does."""
        with self._guard:
            while self._alarms:
                when, _, waiter = self._alarms[0]
                if not waiter.was_woken:
                    return when
                heapq.heappop(self._alarms)
        return None

    def wake_those_due(self) -> None:
        while True:
            when = self.next_alarm()
            if when is None or when > self._clock.time():
                return
            with self._guard:
                _, _, waiter = heapq.heappop(self._alarms)
            self.wake(waiter, late=True)

    def look(self, slept: float) -> None:
        """Give up waiting for those in which nothing goes on.

        The caller has waited for them so long, in real seconds.
        """
        if self._still is None:
            self._still = gauge.Load()
            self._looked_for = 0.0
            return

        self._looked_for += slept
        if self._looked_for < LOOK:
            return

        self._still.look(self._looked_for)
        self._looked_for = 0.0
        if self._still.still >= PATIENCE:
            with self._guard:
                self._beyond |= self._at_work
                self._at_work.clear()
            self._still = None

    def rest(self) -> None:
        """Nobody is at work: the next look begins anew."""
        self._still = None

    # What threads do

    def begins(self, worker: Any) -> None:
        with self._guard:
            self._at_work.add(worker)

    def ends(self, worker: Any) -> None:
        with self._guard:
            self._at_work.discard(worker)
            self._beyond.discard(worker)
        self._tell()

    def _tell(self) -> None:
        """Where nobody is at work any more, the loop looks again."""
        if not self._at_work:
            self._clock.poke()

    def wake(self, waiter: Waiter, late: bool) -> None:
        with self._guard:
            if waiter.was_woken:
                return
            waiter.was_woken = True
            waiter.was_late = late
            if waiter.thread is not threading.main_thread():
                self._at_work.add(waiter.thread)
        waiter.lock.release()

    def wait(self, waiter: Waiter, timeout: float | None) -> bool:
        """Wait until it is woken; False where it is the timeout."""
        deadline = None
        if timeout is not None:
            deadline = self._clock.time() + timeout
            with self._guard:
                alarm = (deadline, next(self._numbers), waiter)
                heapq.heappush(self._alarms, alarm)

        if waiter.thread is threading.main_thread():
            self._wait_in_main(waiter)
        else:
            with self._guard:
                self._beyond.discard(waiter.thread)
                if not waiter.was_woken:
                    self._at_work.discard(waiter.thread)
            self._tell()
            waiter.lock.acquire()
        return not waiter.was_late

    def _wait_in_main(self, waiter: Waiter) -> None:
        """The loop stands still: let time move on for the threads."""
        pause = 0.0
        while not waiter.lock.acquire(timeout=pause):
            pause = SLICE
            # Asked first: what a thread does before it waits is done by
            # then.
            must_wait = self.are_at_work
            if waiter.was_woken:
                continue
            if must_wait:
                self.look(SLICE)
                continue

            self.rest()
            when = self.next_alarm()
            if when is None:
                # Nothing will come: the watchdog ends it.
                pause = LONG
            else:
                seconds = max(when - self._clock.time(), 0.0)
                self._note_blocking(seconds)
                self._clock.jump(seconds)

    def _note_blocking(self, seconds: float) -> None:
        """The loop stands still for so long, and here."""
        if not self._clock.is_running():
            return
        self.blocked += seconds
        if not self.blocked_at:
            summary = traceback.extract_stack()
            self.blocked_at = [
                (frame.filename, frame.lineno or 0) for frame in reversed(summary)
            ]


def _name_of(worker: Any) -> str:
    if isinstance(worker, threading.Thread):
        return f"the thread {worker.name}"
    return "a job in another process"


def follow(threads: Threads, seconds: Callable[[], float]) -> None:
    """Let all threads that start from now on follow virtual time.

    ``seconds`` is the monotonic clock.
    """
    here = threading.local()
    here.follows = True
    _replace_waiting(threads, here)
    _replace_threads(threads, here)

    # They have taken the clock by its name, and SimpleQueue waits in C.
    module: Any = threading
    module._time = seconds
    module = queue
    module.time = seconds
    module.SimpleQueue = module._PySimpleQueue


def _replace_waiting(threads: Threads, here: threading.local) -> None:
    really_wait = threading.Condition.wait

    def wait(condition: Any, timeout: float | None = None) -> bool:
        is_instant = timeout is not None and timeout <= 0
        if is_instant or not getattr(here, "follows", False):
            return really_wait(condition, timeout)
        if not condition._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")

        waiter = Waiter(threads)
        condition._waiters.append(waiter)
        saved = condition._release_save()
        try:
            return threads.wait(waiter, timeout)
        finally:
            condition._acquire_restore(saved)
            if waiter.was_late or not waiter.was_woken:
                with contextlib.suppress(ValueError):
                    condition._waiters.remove(waiter)

    module: Any = threading
    module.Condition.wait = wait


def _replace_threads(threads: Threads, here: threading.local) -> None:
    really_start = threading.Thread.start
    really_join = threading.Thread.join

    @contextlib.contextmanager
    def following(thread: Any) -> Iterator[None]:
        here.follows = True
        try:
            yield
        finally:
            thread._has_ended.set()
            threads.ends(thread)

    def start(thread: Any) -> None:
        run = thread.run

        def follow_and_run() -> None:
            with following(thread):
                run()

        is_left_alone = _waits_for_processes(thread) or hasattr(thread, "_has_ended")
        if not is_left_alone:
            thread._has_ended = threading.Event()
            thread.run = follow_and_run

        # Time stands still while it starts.
        threads.begins(thread)
        try:
            really_start(thread)
        except BaseException:
            threads.ends(thread)
            raise
        if is_left_alone:
            threads.ends(thread)

    def join(thread: Any, timeout: float | None = None) -> None:
        has_ended = getattr(thread, "_has_ended", None)
        if has_ended is None or thread is threading.current_thread():
            really_join(thread, timeout)
        elif has_ended.wait(timeout):
            really_join(thread)

    module: Any = threading
    module.Thread.start = start
    module.Thread.join = join


def _waits_for_processes(thread: Any) -> bool:
    target = getattr(thread, "_target", None)
    modules = [type(thread).__module__, getattr(target, "__module__", None) or ""]
    return any(module.startswith(OF_PROCESSES) for module in modules)
