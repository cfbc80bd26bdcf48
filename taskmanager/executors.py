"""Executors: where the CPU-bound work of tasks is done, chosen by
settings.

Rule: the seam is ``concurrent.futures.Executor``, and the engine takes
any of them. One that may lose its workers for a while says so: it
raises BrokenExecutor for work that got lost, and its ``lost`` is true
until they are back. Nothing here needs Dask, unless Dask is asked for.
Notebook: 11-outgrowing-one-machine.
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

from taskmanager.settings import Settings, SettingsError


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
    """Shut the executor down, and drop the work that has not begun."""
    if isinstance(executor, ProcessExecutor):
        # This is done at once. A thread, as below, a browser has not.
        executor.shutdown(cancel_futures=True)
    else:
        await asyncio.to_thread(executor.shutdown, cancel_futures=True)


class ProcessExecutor(ThreadPoolExecutor):
    """A process a core, started for the first work that comes.

    Each belongs to a thread of this process, which hands it a call and
    waits for the answer. So a call that has not begun is still here,
    where it can be cancelled. When a process is killed, the call that
    it was at fails and no other, and its thread starts a new one.

    The standard library's ProcessPoolExecutor hands out some calls too
    early, fails all of them when one process is killed, and may then
    keep this process from ending.
    """

    def __init__(self) -> None:
        super().__init__(os.cpu_count(), thread_name_prefix="process")
        # By the identifiers of their threads.
        self._children: dict[int, Child] = {}
        self._ended = False

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        """Hand work in.

        It fails with RuntimeError when its process is killed.
        """
        return super().submit(self._call, partial(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: when all work is done, or at once if this
        cancels futures or does not wait.
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
            child = Child()
            self._children[thread] = child
            if self._ended:
                # The shutdown has not seen it.
                child.kill()

        try:
            child.pipe.send(call)
            answer, trace = child.pipe.recv()
        except (EOFError, OSError):
            # The pipe is closed when the process ends.
            child.join()
            raise RuntimeError("the process that did this has died") from None

        if trace:
            raise answer from RuntimeError(trace)
        return answer


class Child(SpawnProcess):
    """A process that does one call after the other.

    It is spawned: a fork of a process with threads may deadlock. Its
    answer is a result and "", or an exception and its traceback.
    """

    def __init__(self) -> None:
        # A daemon ends with this process, should nobody shut the
        # executor down.
        super().__init__(daemon=True)
        self.pipe, self._its_end = multiprocessing.Pipe()
        self.start()
        self._its_end.close()

    def run(self) -> None:
        """What it does."""
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
    """Call this once the process that started this one has ended.

    It may end by kill -9, which leaves it no time to end its children.
    Where multiprocessing did not start this process, nothing is done.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        call(*args)

    threading.Thread(target=watch, daemon=True).start()
