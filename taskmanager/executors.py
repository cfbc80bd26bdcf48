"""Executors: where the CPU-bound work of tasks is done, chosen by
settings.

Rule: the seam is ``concurrent.futures.Executor``, and the engine takes
any of them. One that may lose its workers for a while says so: it
raises BrokenExecutor for work that got lost, and its ``lost`` is true
until they are back. Nothing here needs Dask, unless Dask is asked for.
Notebook: 14-outgrowing-one-process.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.context import SpawnProcess
from typing import Any

from taskmanager.errors import TaskFailedError
from taskmanager.settings import Settings, SettingsError

# Python's own, of a process that ends with an exception. Those of calls
# are answered, so this one comes from before the first.
COULD_NOT_START = 1
HOW_TO_START = (
    "No process could be started to do this. Each imports the main program again: "
    'have that start under `if __name__ == "__main__":`, or, where it is read from '
    "standard input, set TASKMANAGER_EXECUTOR=thread."
)

NO_THREADS = "This is work for another process, and a browser has none."


def new_executor(settings: Settings) -> Executor:
    """The executor that the settings name, not started yet.

    Raises SettingsError where Dask is asked for and not installed.
    """
    match settings.executor:
        case "process":
            return ProcessExecutor()
        case "thread":
            return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="work")
        case "dask":
            return _dask_executor(settings.dask_scheduler)


def _dask_executor(scheduler: str | None) -> Executor:
    try:
        from taskmanager.dask_executor import DaskExecutor
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"TASKMANAGER_EXECUTOR=dask needs {error.name}: "
            "pip install -r taskmanager/requirements-dask.txt"
        ) from None
    return DaskExecutor(scheduler)


async def shut_down(executor: Executor) -> None:
    """End the executor; work that has not begun is dropped."""
    if isinstance(executor, ProcessExecutor):
        # It kills its processes, so the wait is short. And a browser
        # has no thread to wait in.
        executor.shutdown(cancel_futures=True)
    else:
        # Threads finish the work that they have; Dask's is cut off.
        # Meanwhile the event loop goes on.
        await asyncio.to_thread(executor.shutdown, cancel_futures=True)


class ProcessExecutor(ThreadPoolExecutor):
    """A process a core, each started for the first work that it gets.

    Each belongs to a thread of this process, which hands it one call,
    waits for the answer, and only then takes the next. So a call that
    has not begun is still here, where it can be cancelled. When a
    process is killed, the call that it was at fails and no other; its
    thread starts a new process for the next one.

    The standard library's ProcessPoolExecutor hands out calls ahead of
    time, and fails all of them when one process is killed. Since Python
    3.12, dropping such a broken pool may leave a thread that hangs, and
    that the interpreter waits for at its end.
    """

    def __init__(self) -> None:
        super().__init__(os.cpu_count(), thread_name_prefix="process")
        # By the identifier of the thread that each belongs to.
        self._children: dict[int, Child] = {}
        self._ended = False

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        """Hand a call in.

        It fails with RuntimeError where its process is killed. Raises
        TaskFailedError where there are no threads.
        """
        call = partial(fn, *args, **kwargs)
        try:
            return super().submit(self._call, call)
        except RuntimeError:
            if self._ended:
                raise
            raise TaskFailedError(NO_THREADS) from None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when all work is done.

        To cancel futures, or not to wait, they are ended at once.
        """
        super().shutdown(wait and not cancel_futures, cancel_futures=cancel_futures)

        self._ended = True
        for child in list(self._children.values()):
            child.kill()
            child.join()
        super().shutdown(wait)

    def _call(self, call: Callable[[], Any]) -> Any:
        thread = threading.get_ident()
        child = self._children.get(thread)
        if child is None or not child.is_alive():
            try:
                child = Child()
            except RuntimeError:
                # Python starts none while it imports the main program
                # again, as where that has no such `if`.
                raise TaskFailedError(HOW_TO_START) from None
            self._children[thread] = child
            if self._ended:
                # The shutdown came too early to see this one.
                child.kill()

        try:
            child.pipe.send(call)
            answer, trace = child.pipe.recv()
        except (EOFError, OSError):
            child.join()
            if child.exitcode == COULD_NOT_START:
                raise TaskFailedError(HOW_TO_START) from None
            # A negative one is the number of the signal that killed it.
            text = f"the process that did this ended with code {child.exitcode}"
            raise RuntimeError(text) from None

        if trace:
            raise answer from RuntimeError(trace)
        return answer


class Child(SpawnProcess):
    """A process that does one call after the other.

    It is spawned, since a fork of a process with threads may deadlock.
    An answer is a result and "", or an exception and its traceback.
    """

    def __init__(self) -> None:
        # A daemon is ended with this process, should nobody shut the
        # executor down.
        super().__init__(daemon=True)
        self.pipe, self._its_end = multiprocessing.Pipe()
        # Where the server's workers are daemons, as hypercorn's are,
        # they could start no process.
        multiprocessing.current_process().daemon = False
        self.start()
        # Now only the child has it open: the pipe breaks when it ends.
        self._its_end.close()

    def run(self) -> None:
        """What the new process does."""
        # Deaf to Ctrl-C, which reaches the whole process group: the
        # process that started this one decides when it ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        when_orphaned(os._exit, 1)

        while True:
            call = self._its_end.recv()
            try:
                self._its_end.send((call(), ""))
            except Exception as error:
                self._its_end.send((error, traceback.format_exc()))


def when_orphaned(call: Callable[..., object], *args: object) -> None:
    """Make this call once the process that started this one has ended.

    kill -9 leaves a process no time to end its children. A process that
    was not started by multiprocessing is nobody's child here, and the
    call is never made.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        call(*args)

    threading.Thread(target=watch, daemon=True).start()
