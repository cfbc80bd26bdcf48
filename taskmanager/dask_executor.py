"""Dask as an executor: work goes to a cluster, and within seconds its
result comes back, or a BrokenExecutor.

Rule: one thread holds the connection, and asks the scheduler every
second whether it is there. When it is not, all that was under way fails
at once, ``lost`` is true, and the thread tries again until it is back.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from distributed import Client, LocalCluster

# Seconds between two questions to the scheduler.
CHECK = 1.0
# Seconds that it may take to answer.
PATIENCE = 3.0
# Seconds that a shutdown takes at most: what is left then ends with
# this process.
CLOSING = 1.5

logger = logging.getLogger("taskmanager.executor")


class DaskExecutor(Executor):
    """Runs functions on the cluster of ``scheduler`` (tcp://host:port).

    Without one, it starts a cluster of this machine, a process a core.
    ``with`` starts it, and returns when it is connected, or could not
    be: then it goes on trying.
    """

    def __init__(self, scheduler: str | None = None) -> None:
        self.scheduler = scheduler
        self._client: Any = None
        # The asyncio.Task of _stay_connected.
        self._connection: Any = None
        self._thread: threading.Thread | None = None
        # Set once the first attempt to connect has ended, however that
        # was: a start waits for it, and no longer.
        self._tried = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether there is no scheduler to give work to now."""
        client = self._client
        return client is None or client.status != "running"

    def __enter__(self) -> "DaskExecutor":
        self._thread = threading.Thread(target=self._run_loop, name="dask", daemon=True)
        self._thread.start()
        self._tried.wait()
        return self

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        """Submit a call to the cluster; its Future can cancel it.

        Dask's own get_executor() does not do: it takes what was lost
        for cancelled, it cancels equal calls together, and it waits for
        the cluster on the thread, here the event loop's, that cancels.
        """
        if self.lost:
            raise BrokenExecutor("The Dask scheduler is not connected.")
        return asyncio.run_coroutine_threadsafe(
            self._call(fn, args, kwargs), self._loop
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all that is under way, and the workers of our own."""
        if self._thread is None or not self._thread.is_alive():
            return

        self._loop.call_soon_threadsafe(self._connection.cancel)
        if wait:
            self._thread.join(CLOSING)

    async def _call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        # submit has asked the same, but from another thread, and a
        # little earlier. This is the thread that sets and clears the
        # client: from here to the first await, it stays.
        if self.lost:
            raise BrokenExecutor("The Dask scheduler is not connected.")
        # With pure=True, equal calls would be one.
        future = self._client.submit(function, *args, pure=False, **kwargs)
        try:
            return await future
        except Exception as error:
            # The function raised it, or its worker died with it once
            # too often.
            if future.status == "error":
                raise
            raise BrokenExecutor("The Dask scheduler was lost.") from error
        finally:
            # Also where this was cancelled: nobody else wants it, so
            # the scheduler drops it.
            future.release()

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._run())
        finally:
            # Also where no cluster could be started to connect to.
            self._tried.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = asyncio.create_task(self._stay_connected())
        # Waited for, not awaited: shutdown cancels it.
        await asyncio.wait([self._connection])
        if not self._connection.cancelled():
            self._connection.result()

    async def _stay_connected(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            where = self.scheduler or await self._start_cluster(stack)
            while True:
                try:
                    await self._connect(where)
                except Exception as error:
                    logger.warning(
                        "no connection to Dask: %(error)s", {"error": repr(error)}
                    )
                finally:
                    # Also where that failed.
                    self._tried.set()
                await asyncio.sleep(CHECK)

    async def _connect(self, where: Any) -> None:
        """Connect, and return or raise when the connection is lost.

        Leaving ``async with`` cancels its futures.
        """
        async with Client(
            where, asynchronous=True, set_as_default=False, timeout=PATIENCE
        ) as client:
            try:
                self._client = client
                logger.info("connected to Dask")
                self._tried.set()
                while client.status == "running":
                    await asyncio.wait_for(
                        client.scheduler.identity(n_workers=0), PATIENCE
                    )
                    await asyncio.sleep(CHECK)
                # By an error, ``async with`` is left at once.
                raise ConnectionError("the scheduler has closed the connection")
            finally:
                # No later: while it closes, it may connect once more,
                # and say "running".
                self._client = None

    async def _start_cluster(self, stack: contextlib.AsyncExitStack) -> LocalCluster:
        cluster = LocalCluster(
            asynchronous=True,
            processes=True,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # any free port
            # Errors come with the results; at the end, what is cut off
            # complains.
            silence_logs=logging.CRITICAL,
            # Deaf to Ctrl-C, which reaches the whole process group:
            # this process decides when they end.
            preload="import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
        )
        await stack.enter_async_context(cluster)

        async def end_workers() -> None:
            # A segment may end by itself; by default it has 4 s, and
            # its worker 1 more.
            nannies = cluster.workers.values()
            await asyncio.gather(*[nanny.close(timeout=0.5) for nanny in nannies])

        stack.push_async_callback(end_workers)
        return cluster
