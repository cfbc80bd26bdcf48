"""Patience: ends what would run for ever, in a lesson or in a check.

Rule: what never lets time pass is ended once its thread has worked for
five seconds, or has idled for thirty. Honest work on a busy machine is
not: a thread that gets no processor has not worked. The stop button
ends anything but one long call into C.
"""

import asyncio
import ctypes
import linecache
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent import futures
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar
from unittest import mock

from taskmanager.testing import VirtualLoop

T = TypeVar("T")

WORK = 5.0  # seconds of processor time
IDLE = 30.0  # seconds by the real clock
LOOK = 0.2  # seconds between two looks
UNWIND = 5.0  # seconds to end, once interrupted

# What a learner has not written.
PROJECT = Path(__file__).resolve().parent.parent
NOT_THEIRS = (
    str(PROJECT / "taskmanager"),
    str(PROJECT / "notebooks" / "lab.py"),
    str(PROJECT / "notebooks" / "patience.py"),
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    sys.prefix,
)


class TimeStandsStillError(RuntimeError):
    """Something never let virtual time pass, or never ended."""


class _Interruption(BaseException):
    """Raised in the thread that is to end.

    An ``except Exception`` in a learner's loop does not catch it.
    """


def run_in_thread(
    loop: VirtualLoop, coroutine: Coroutine[Any, Any, T], limit: float
) -> T:
    """Run ``coroutine`` in ``loop``, and return its result.

    The loop runs in a thread of its own. Raises TimeoutError after
    ``limit`` virtual seconds, TimeStandsStillError, which names the
    line, and RuntimeError where something cannot be ended.
    """
    if loop.is_running():
        coroutine.close()
        raise RuntimeError(
            "an earlier cell is still inside one long call: restart the kernel."
        )

    run = _Run(loop, asyncio.wait_for(coroutine, limit))
    with mock.patch.object(time, "sleep", _sleep_beside(loop)):
        try:
            run.thread.start()
            return run.result()
        except KeyboardInterrupt:
            # The stop button was pressed.
            run.end()
            raise


def run_bounded(function: Callable[[Any], T], argument: Any) -> T:
    """Call ``function`` in this thread, and return what it returns.

    Raises TimeStandsStillError, which names the line, once this thread
    has worked for it for five seconds. What ``run_in_thread`` does for
    it meanwhile is work of another thread.
    """
    thread = threading.current_thread()
    returned = threading.Event()
    lines: list[str] = []

    def watch() -> None:
        begun = _worked(thread)
        while not returned.wait(LOOK):
            if _worked(thread) - begun > WORK:
                frame = sys._current_frames().get(thread.ident or 0)
                lines.append(_line_of([_outwards(frame)]))
                _interrupt(thread)
                return

    watcher = threading.Thread(target=watch, name="watcher", daemon=True)
    watcher.start()
    try:
        try:
            return function(argument)
        finally:
            returned.set()
            watcher.join()
    except _Interruption:
        raise TimeStandsStillError(
            f"it does not end: {lines.pop()} is run again and again."
        ) from None


class _Run(Generic[T]):
    """A thread that runs the loop until ``coroutine`` has ended."""

    def __init__(self, loop: VirtualLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        self.loop = loop
        self.before = asyncio.all_tasks(loop)
        self.task = loop.create_task(coroutine)
        self.done: futures.Future[T] = futures.Future()
        # A daemon: what cannot be ended must not keep the kernel alive.
        self.thread = threading.Thread(
            target=self._work, name="virtual time", daemon=True
        )

    def _work(self) -> None:
        try:
            self.done.set_result(self.loop.run_until_complete(self.task))
        except BaseException as error:
            self.done.set_exception(error)

    def result(self) -> T:
        """Wait for it, as long as virtual time passes."""
        seen = self.loop.time()
        worked = _worked(self.thread)
        looked = time.perf_counter()
        while not self._ended_within(LOOK):
            if self.loop.time() != seen:
                seen = self.loop.time()
                worked = _worked(self.thread)
                looked = time.perf_counter()
                continue

            work = _worked(self.thread) - worked
            if work > WORK:
                self._give_up("is run again and again, and never sleeps")
            if work < LOOK and time.perf_counter() - looked > IDLE:
                self._give_up("waits for what virtual time does not bring")

        return self.done.result()

    def end(self) -> None:
        """End it, wherever it is."""
        cancelled = threading.Event()
        tasks = asyncio.all_tasks(self.loop) - self.before

        def cancel() -> None:
            self.task.cancel()
            cancelled.set()

        # What lets its event loop run is cancelled. What does not, or
        # goes on all the same, is interrupted in the middle of a line.
        self.loop.call_soon_threadsafe(cancel)
        if not cancelled.wait(LOOK) or not self._ended_within(UNWIND / 5):
            _interrupt(self.thread)
        if not self._ended_within(UNWIND):
            raise RuntimeError(
                "this is inside one long call, which nothing ends: restart the kernel."
            )

        # What it had begun must not go on in the next cell.
        for task in asyncio.all_tasks(self.loop) - self.before:
            task.cancel()
        # Else asyncio says at some time that nobody looked.
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()

    def _give_up(self, fault: str) -> None:
        line = self._line()
        self.end()
        raise TimeStandsStillError(f"no time passes: {line} {fault}.") from None

    def _ended_within(self, seconds: float) -> bool:
        done, _ = futures.wait([self.done], seconds)
        return bool(done)

    def _line(self) -> str:
        """The innermost line that a learner has written."""
        frame = sys._current_frames().get(self.thread.ident or 0)
        tasks = sorted(asyncio.all_tasks(self.loop), key=_waits)
        return _line_of([_outwards(frame), *map(_awaited, tasks)])


def _worked(thread: threading.Thread) -> float:
    """Seconds of processor time that the thread has had."""
    if not hasattr(time, "pthread_getcpuclockid") or not thread.is_alive():
        return time.process_time()
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def _interrupt(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Interruption)
    )


def _line_of(stacks: Iterable[Iterable[FrameType]]) -> str:
    """The first line in these stacks that a learner has written."""
    for stack in stacks:
        for frame in stack:
            if _is_theirs(frame):
                return _text_of(frame)
    return "something"


def _is_theirs(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return not os.path.realpath(file).startswith(NOT_THEIRS)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _awaited(task: "asyncio.Task[Any]") -> list[FrameType]:
    """The frames of a task that waits, the innermost first."""
    frames: list[FrameType] = []
    coroutine: Any = task.get_coro()
    while getattr(coroutine, "cr_frame", None) is not None:
        frames.insert(0, coroutine.cr_frame)
        coroutine = coroutine.cr_await
    return frames


def _waits(task: "asyncio.Task[Any]") -> bool:
    """Whether it waits for a future, and not just for its turn."""
    return getattr(task, "_fut_waiter", None) is not None


def _text_of(frame: FrameType) -> str:
    file = frame.f_code.co_filename
    text = linecache.getline(file, frame.f_lineno).strip()
    return f"line {frame.f_lineno}, `{text}`,"


def _sleep_beside(loop: VirtualLoop) -> Any:
    """A ``time.sleep`` for all threads but that of ``loop``."""
    really_sleep = time.sleep

    def sleep(seconds: float) -> None:
        if asyncio._get_running_loop() is loop:
            raise RuntimeError(
                "time.sleep stops the whole event loop: await asyncio.sleep."
            )
        really_sleep(seconds)

    return sleep
