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
import signal
from collections.abc import Callable
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
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
            return ThreadPoolExecutor(thread_name_prefix="work")
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


async def run_in(executor: Executor, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function`` beside the event loop, and return what it
    returns.
    """
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(executor, function, *args)
    except BrokenExecutor:
        if not isinstance(executor, ProcessExecutor):
            raise
        # Work that ends its own process has crashed; it is not lost as
        # with a cluster, where it would be worth while to submit it
        # again.
        raise RuntimeError("a process of the pool was killed") from None


async def shut_down(executor: Executor) -> None:
    """Wait, beside the event loop, until work under way has ended."""
    if isinstance(executor, ProcessExecutor) and not executor.started:
        # There is nothing to wait for, and no thread is needed, of
        # which a browser has none.
        return
    await asyncio.to_thread(executor.shutdown, cancel_futures=True)


class ProcessExecutor(Executor):
    """A process a core, started for the first work that comes.

    When one of them is killed, the standard library's pool ends with
    all of its work. This one then begins a new pool for the next.
    """

    def __init__(self) -> None:
        self._pool: KillablePool | None = None

    @property
    def started(self) -> bool:
        """Whether there are processes."""
        return self._pool is not None

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        """Hand work in. Raises BrokenExecutor where a process was
        killed.
        """
        if self._pool is None:
            self._pool = KillablePool(
                # Forks of a process with threads may deadlock.
                mp_context=multiprocessing.get_context("spawn"),
                # Deaf to Ctrl-C, which reaches the whole process group:
                # this process decides when they end.
                initializer=signal.signal,
                initargs=(signal.SIGINT, signal.SIG_IGN),
            )
        pool = self._pool

        try:
            future = pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._give_up(pool)
            raise

        future.add_done_callback(lambda done: self._look_at(pool, done))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, after the work that is under way."""
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _look_at(self, pool: "KillablePool", done: "Future[Any]") -> None:
        if not done.cancelled() and isinstance(done.exception(), BrokenExecutor):
            self._give_up(pool)

    def _give_up(self, pool: "KillablePool") -> None:
        if pool is self._pool:
            self._pool = None
        pool.kill()


class KillablePool(ProcessPoolExecutor):
    """The standard library's pool, whose processes can be killed."""

    def kill(self) -> None:
        """Kill the processes of a broken pool.

        CPython does so too, but may forget one that it starts
        meanwhile, which would live for ever.
        """
        processes = self._processes or {}
        for process in list(processes.values()):
            process.kill()
