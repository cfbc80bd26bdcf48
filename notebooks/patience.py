"""Patience: ends what would run for ever, in a lesson or in a check.

Rule: what never lets time pass is ended once its thread has worked for
five seconds, or has idled for thirty. Honest work on a busy machine is
not: a thread that gets no processor has not worked. The stop button
ends anything but one long call into C. What goes on although it was
ended is taken out of the event loop: the next cell must not meet it.

In a browser there are no threads, and nobody can look on. There, turns
are counted: those of the event loop, and those of a learner's loops.
"""

import asyncio
import contextlib
import ctypes
import functools
import linecache
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent import futures
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Generic, TypeVar
from unittest import mock

from taskmanager.testing import (
    THREADS,
    LoneLoop,
    VirtualLoop,
)

T = TypeVar("T")

WORK = 5.0  # seconds of processor time
IDLE = 30.0  # seconds by the real clock
LOOK = 0.2  # seconds between two looks
UNWIND = 5.0  # seconds to end, once interrupted
CLEAN_UP = 3600.0  # virtual seconds to end, once cancelled
AGAIN = 0.05  # seconds between two interruptions
TURNS = 100  # of the event loop, in which what was cancelled ends
# Without threads, and while no time passes:
LOOP_TURNS = 200_000  # of the event loop
JUMPS = 3_000_000  # back to where a loop of a learner's begins
# What a TimeoutError says, if it comes from run_in_thread itself.
FOR_EVER = "it waits for ever."
DOES_NOT_END = "it does not end: {} is run again and again."
NEVER_SLEEPS = "no time passes: {} is run again and again, and never sleeps."
NO_SLEEP = "time.sleep stops everything: leave it out, or await asyncio.sleep."

# What a learner has not written.
PROJECT = Path(__file__).resolve().parent.parent
if THREADS:
    LIBRARIES: tuple[str, ...] = (
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("purelib"),
        sys.prefix,
    )
else:
    # The project is among the packages, and the prefix would be "/".
    LIBRARIES = (str(PROJECT), str(Path(os.__file__).parent))
NOT_THEIRS = (
    str(PROJECT / "taskmanager"),
    str(PROJECT / "notebooks" / "lab.py"),
    str(PROJECT / "notebooks" / "patience.py"),
    *LIBRARIES,
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

    The loop runs in a thread of its own, or, where there are none, in
    this one. Raises TimeoutError after
    ``limit`` virtual seconds, TimeStandsStillError, which names the
    line, and RuntimeError where something cannot be ended.
    """
    if asyncio._get_running_loop() is loop:
        coroutine.close()
        raise RuntimeError(
            "lab.run is not for the inside of an async def: await the coroutine."
        )
    if loop.is_running():
        coroutine.close()
        raise RuntimeError(
            "an earlier cell is still inside one long call: restart the kernel."
        )

    ends = loop.time() + limit
    run_of: type[_Run[T]] = _Run if THREADS else _RunInPlace
    run = run_of(loop, asyncio.wait_for(coroutine, limit), ends + CLEAN_UP)
    no_sleep = mock.patch.object(time, "sleep", _sleep_beside(loop))
    with no_sleep, mock.patch.object(loop, "jump", run.jump):
        try:
            return run.result()
        except asyncio.TimeoutError:
            if loop.time() < ends:
                raise
            raise asyncio.TimeoutError(FOR_EVER) from None
        except (KeyboardInterrupt, SystemExit):
            # The stop button was pressed, or exit() was called.
            run.end()
            raise


def run_for_real(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` by the real clock, and return its result.

    It has a new event loop, in a thread of its own, if there are any.
    Raises RuntimeError where the stop button cannot end it.
    """
    if not THREADS:
        return _run_for_real_in_place(coroutine)

    begun: futures.Future[Callable[[], None]] = futures.Future()

    async def main() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        begun.set_result(lambda: _call_in(loop, task.cancel))
        return await coroutine

    thread = _Thread("real time", lambda: asyncio.run(main()))
    try:
        thread.start()
        return thread.done.result()
    except KeyboardInterrupt:
        # It is cancelled, and has a second to clean up.
        cancel = begun.result(UNWIND)
        cancel()
        if not thread.gone_within(UNWIND / 5):
            thread.interrupt(cancel)
        raise


def run_aside(function: Callable[..., T], *arguments: Any) -> T:
    """Call ``function`` where no event loop runs; return its result.

    Jupyter's own occupies this thread: it is called in another, or,
    where there is none, while that loop is set aside.
    """
    if not THREADS:
        with set_aside():
            return function(*arguments)

    with futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


def run_bounded(function: Callable[[Any], T], argument: Any) -> T:
    """Call ``function`` in this thread, and return what it returns.

    Raises TimeStandsStillError, which names the line, once this thread
    has worked for it for five seconds. What ``run_in_thread`` does for
    it meanwhile is work of another thread. It may not ``time.sleep``.
    """
    if not THREADS:
        return _run_bounded_in_place(function, argument)

    thread = threading.current_thread()
    returned = threading.Event()
    lines: list[str] = []

    def watch() -> None:
        begun = _worked(thread)
        while not returned.wait(LOOK):
            if _worked(thread) - begun > WORK:
                frame = sys._current_frames().get(thread.ident or 0)
                lines.append(_line_of([_outwards(frame)]))
                break
        # A bare "except:" may catch one of them.
        while not returned.wait(AGAIN):
            _interrupt(thread)

    watcher = threading.Thread(target=watch, name="watcher", daemon=True)
    no_sleep = _sleep_unless(lambda: threading.current_thread() is thread, NO_SLEEP)
    watcher.start()
    try:
        try:
            with mock.patch.object(time, "sleep", no_sleep):
                return function(argument)
        finally:
            returned.set()
            watcher.join()
    except _Interruption:
        raise TimeStandsStillError(DOES_NOT_END.format(lines.pop())) from None


class _Thread(Generic[T]):
    """A thread that calls a function, and can be ended.

    ``done`` is what the function returns or raises.
    """

    def __init__(self, name: str, function: Callable[[], T]) -> None:
        self._function = function
        self.done: futures.Future[T] = futures.Future()
        # A daemon: what cannot be ended must not keep the kernel alive.
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.start = self.thread.start

    def _work(self) -> None:
        # An interruption may come when it has ended already.
        with contextlib.suppress(_Interruption):
            try:
                self.done.set_result(self._function())
            except BaseException as error:
                self.done.set_exception(error)

    def gone_within(self, seconds: float) -> bool:
        self.thread.join(seconds)
        return not self.thread.is_alive()

    def interrupt(self, wake: Callable[[], object]) -> None:
        """End it in the middle of a line.

        ``wake`` wakes its event loop, which may wait for the network.
        Raises RuntimeError where that line is one long call.
        """
        ends = time.perf_counter() + UNWIND
        while not self.gone_within(0):
            if time.perf_counter() > ends:
                raise RuntimeError(
                    "this is inside one long call, which nothing ends: restart the "
                    "kernel."
                )
            # A bare "except:" may catch one of them.
            _interrupt(self.thread)
            wake()
            self.gone_within(AGAIN)


class LastingLoop:
    """An event loop in a thread, on which coroutines run by and by."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stopped = False
        self._thread = threading.Thread(
            target=self._work, name="lasting loop", daemon=True
        )
        self._thread.start()

    def _work(self) -> None:
        # One that hits the loop itself, and no coroutine, is over then.
        while not self._stopped:
            with contextlib.suppress(_Interruption):
                self._loop.run_forever()
        self._loop.close()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> "futures.Future[T]":
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T], limit: float) -> T:
        """Its result; raises TimeoutError after ``limit`` seconds."""
        run: futures.Future[T] | None = None
        try:
            run = self.begin(coroutine)
            return run.result(limit)
        except (KeyboardInterrupt, futures.TimeoutError):
            if run is not None:
                run.cancel()
            self._make_run()
            raise

    def _make_run(self) -> None:
        """Interrupt what does not let the loop run."""
        ends = time.perf_counter() + UNWIND
        runs = self.begin(asyncio.sleep(0))
        done, _ = futures.wait([runs], LOOK)
        while not done and time.perf_counter() < ends:
            # Nothing of the server's own.
            frame = sys._current_frames().get(self._thread.ident or 0)
            if any(map(_is_theirs, _outwards(frame))):
                _interrupt(self._thread)
            done, _ = futures.wait([runs], AGAIN)

    def stop(self) -> None:
        self._stopped = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class _Run(Generic[T]):
    """A thread that runs the loop until ``coroutine`` has ended."""

    def __init__(
        self, loop: VirtualLoop, coroutine: Coroutine[Any, Any, T], ends: float
    ) -> None:
        self.loop = loop
        self.late = False
        self.ends = ends
        self.before = _tasks(loop)
        self.task = loop.create_task(coroutine)
        self.thread: _Thread[T] = _Thread(
            "virtual time", lambda: loop.run_until_complete(self.task)
        )

    def jump(self, seconds: float) -> None:
        """Move the loop's clock.

        This is no timer of the loop's: one more would change the order
        of those that are due at one moment.
        """
        VirtualLoop.jump(self.loop, seconds)
        if self.loop.time() > self.ends:
            self.late = True
            self.loop.stop()

    def result(self) -> T:
        """Wait for it, as long as virtual time passes.

        By ``ends`` it has been cancelled, and has had time for that.
        """
        self.thread.start()
        seen = self.loop.time()
        worked = _worked(self.thread.thread)
        looked = time.perf_counter()
        while not self._ended_within(LOOK):
            if self.loop.time() != seen:
                seen = self.loop.time()
                worked = _worked(self.thread.thread)
                looked = time.perf_counter()
                continue

            work = _worked(self.thread.thread) - worked
            if work > WORK:
                self._give_up(NEVER_SLEEPS)
            if work < LOOK and time.perf_counter() - looked > IDLE:
                self._give_up(
                    "no time passes: {} waits for what virtual time does not bring."
                )

        if self.late:
            self.end()
            raise asyncio.TimeoutError(FOR_EVER)
        return self.thread.done.result()

    def end(self) -> None:
        """End it, wherever it is."""
        cancelled = threading.Event()
        tasks = _tasks(self.loop)

        def cancel() -> None:
            self.task.cancel()
            cancelled.set()

        # What lets its event loop run is cancelled. What does not, or
        # goes on all the same, is interrupted in the middle of a line.
        self.loop.call_soon_threadsafe(cancel)
        if not cancelled.wait(LOOK) or not self.thread.gone_within(UNWIND / 5):
            self.thread.interrupt(self._wake)

        self._clear()
        _look_at(tasks)

    def _clear(self) -> None:
        """End what it had begun: the next cell must not meet it.

        What an earlier cell has left behind, and what keeps time from
        passing now, is ended as well.
        """
        clear: _Thread[None] = _Thread(
            "clear", lambda: self.loop.run_until_complete(_clear(self.before))
        )
        clear.start()
        if not clear.gone_within(UNWIND):
            clear.interrupt(self._wake)

    def _wake(self) -> None:
        self.loop.call_soon_threadsafe(int)

    def _give_up(self, fault: str) -> None:
        line = self._line()
        self.end()
        raise TimeStandsStillError(fault.format(line)) from None

    def _ended_within(self, seconds: float) -> bool:
        done, _ = futures.wait([self.thread.done], seconds)
        return bool(done)

    def _line(self) -> str:
        """The innermost line that a learner has written."""
        frame = sys._current_frames().get(self.thread.thread.ident or 0)
        tasks = sorted(_tasks(self.loop), key=_waits)
        return _line_of([_outwards(frame), *map(_awaited, tasks)])


def _look_at(tasks: "set[asyncio.Task[Any]]") -> None:
    """Else asyncio says at some time that nobody looked."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()


# Where there are no threads


@contextlib.contextmanager
def set_aside() -> Iterator[None]:
    """Let another event loop run within a call of the one that runs.

    That one waits meanwhile. It is for where no thread could run the
    other.
    """
    loop = asyncio._get_running_loop()
    hooks = sys.get_asyncgen_hooks()
    # Before Python 3.12, each loop has a current task of its own.
    swap: Any = getattr(asyncio.tasks, "_swap_current_task", None)
    task = None
    if loop is not None and swap is not None:
        task = swap(loop, None)

    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
        asyncio._set_running_loop(loop)
        if task is not None:
            swap(loop, task)


class _Jumps:
    """Counts jumps back, in loops that a learner has written.

    At the last that it allows, and at each one after that, it raises
    _Interruption. It is entered as a block, which may stand in another.
    """

    def __init__(self) -> None:
        self.left = JUMPS
        self.line = ""  # the one at which it was too much

    def __enter__(self) -> "_Jumps":
        _watch_jumps()
        _counting.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _counting.remove(self)

    def count(self) -> None:
        self.left -= 1
        if self.left > 0:
            return
        if not self.line:
            # This is called by _jumped, and that in place of the line.
            self.line = _text_of(sys._getframe(2))
        raise _Interruption


TOOL = 4  # one that sys.monitoring leaves to others
_counting: list[_Jumps] = []
# Code that a learner has written, by its id: its hash takes long.
_theirs: dict[int, CodeType] = {}


@functools.cache
def _watch_jumps() -> None:
    """From now on, and for good: switching it costs more."""
    monitoring: Any = vars(sys)["monitoring"]
    monitoring.use_tool_id(TOOL, "patience")
    monitoring.register_callback(TOOL, monitoring.events.JUMP, _jumped)
    monitoring.set_events(TOOL, monitoring.events.JUMP)


def _jumped(code: CodeType, _from: int, _to: int) -> Any:
    if id(code) not in _theirs:
        if not _is_theirs(sys._getframe(1)):
            return vars(sys)["monitoring"].DISABLE
        _theirs[id(code)] = code
    if _counting:
        _counting[-1].count()
    return None


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say what went wrong in a task; what was ended is known."""
    if not isinstance(context.get("exception"), _Interruption):
        loop.default_exception_handler(context)


class _RunInPlace(_Run[T]):
    """The same in this thread, whose event loop is set aside."""

    def __init__(
        self, loop: VirtualLoop, coroutine: Coroutine[Any, Any, T], ends: float
    ) -> None:
        super().__init__(loop, coroutine, ends)
        loop.set_exception_handler(_tell)
        self.turns = 0
        self.jumps = _Jumps()

    def jump(self, seconds: float) -> None:
        self.turns = 0
        self.jumps.left = JUMPS
        super().jump(seconds)

    def turn(self) -> None:
        """One of the event loop: whatever has ended a task ends it."""
        self.turns += 1
        ends = self.turns > LOOP_TURNS or self.jumps.line
        if ends and not self.task.done():
            raise _Interruption

    def result(self) -> T:
        counted = mock.patch.object(self.loop, "turn", self.turn)
        try:
            with set_aside(), counted, self.jumps:
                return self.loop.run_until_complete(self.task)
        except _Interruption:
            self._give_up(NEVER_SLEEPS)
            raise
        except RuntimeError:
            if not self.late:
                raise
            self.end()
            raise asyncio.TimeoutError(FOR_EVER) from None

    def end(self) -> None:
        tasks = _tasks(self.loop)
        with set_aside(), _Jumps(), contextlib.suppress(_Interruption):
            self.loop.run_until_complete(_clear(self.before))
        _look_at(tasks)

    def _line(self) -> str:
        return self.jumps.line or super()._line()


def _run_for_real_in_place(coroutine: Coroutine[Any, Any, T]) -> T:
    with set_aside(), asyncio.Runner(loop_factory=LoneLoop) as runner:
        result: T = runner.run(coroutine)
        return result


def _run_bounded_in_place(function: Callable[[Any], T], argument: Any) -> T:
    no_sleep = _sleep_unless(lambda: True, NO_SLEEP)
    jumps = _Jumps()
    try:
        with mock.patch.object(time, "sleep", no_sleep), jumps:
            return function(argument)
    except _Interruption:
        raise TimeStandsStillError(DOES_NOT_END.format(jumps.line)) from None


# Its coroutine would catch what ends it when it is thrown away.
_forgotten: "set[asyncio.Task[Any]]" = set()


def _tasks(loop: asyncio.AbstractEventLoop) -> "set[asyncio.Task[Any]]":
    return asyncio.all_tasks(loop) - _forgotten


async def _clear(keep: "set[asyncio.Task[Any]]") -> None:
    loop = asyncio.get_running_loop()
    me = {asyncio.current_task()}
    left = _tasks(loop) - keep - me
    for task in left:
        task.cancel()
    await _turns()

    # Time does not pass here. So what waits for it, or for others,
    # waits; what is ready after so many turns is ready for ever.
    for task in _tasks(loop) - me:
        if not _waits(task):
            task.cancel()
            left.add(task)
    await _turns()
    for task in left:
        if not task.done() and not _waits(task):
            _forget(task)


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _forget(task: "asyncio.Task[Any]") -> None:
    """Take a task that is ready, and does not end, out of its loop."""
    loop: Any = task.get_loop()
    for handle in loop._ready:
        if getattr(handle._callback, "__self__", None) is task:
            handle.cancel()
    _forgotten.add(task)


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    # It may have ended, and be closed.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


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
    # Of what is frozen into Python there is no text.
    has_text = bool(linecache.getline(file, _number(frame)))
    return has_text and not os.path.realpath(file).startswith(NOT_THEIRS)


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
    number = _number(frame)
    text = linecache.getline(file, number).strip()
    return f"line {number}, `{text}`,"


def _number(frame: FrameType) -> int:
    """Of its line; of what the compiler has added, there is none."""
    return frame.f_lineno or frame.f_code.co_firstlineno


def _sleep_beside(loop: VirtualLoop) -> Any:
    """A ``time.sleep`` for all threads but that of ``loop``."""
    return _sleep_unless(
        lambda: asyncio._get_running_loop() is loop,
        "time.sleep stops the whole event loop: await asyncio.sleep.",
    )


def _sleep_unless(refused: Callable[[], bool], words: str) -> Any:
    really_sleep = time.sleep

    def sleep(seconds: float) -> None:
        if refused():
            raise RuntimeError(words)
        really_sleep(seconds)

    return sleep
