"""WorkerPool: N worker loops side by side, each running its task in an asyncio.Task of its own.

Rules: ``asyncio.gather`` runs the loops, not batches of tasks: a batch idles until its slowest is done (head-of-line
blocking). "This task was cancelled" and "this worker stops" are two things: the one cancels the inner asyncio.Task,
the other the loop around it. Notebook: 02-queue-and-workers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from taskmanager.errors import INTERNAL, classify_failure
from taskmanager.models import Result, Task, TaskStatus
from taskmanager.pending import PendingQueue
from taskmanager.supervisor import Supervisor

UNWIND = 1.0  # seconds that a cancelled handler gets before the log calls it stubborn

logger = logging.getLogger(__name__)


class WorkerPool:
    """Takes tasks from ``queue`` and gives each to ``handle``, ``size`` at a time, ``timeout`` seconds each at most.

    ``change_status(task, status, result=, error=)`` is told what becomes of them; it ignores a task that has got a
    final status meanwhile.
    """

    def __init__(
        self,
        queue: PendingQueue,
        handle: Callable[[Task], Awaitable[Result]],
        change_status: Callable[..., Any],
        *,
        size: int,
        timeout: float,
    ) -> None:
        self.processing: set[Task] = set()
        self._queue, self._handle, self._change_status = queue, handle, change_status
        self._size, self._timeout = size, timeout
        self._runs: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references

    async def run(self, supervisor: Supervisor) -> None:
        """Run the workers until this is cancelled."""
        await asyncio.gather(*(supervisor.keep_alive(f"worker-{n}", self._work) for n in range(1, self._size + 1)))

    async def drain(self) -> None:
        """Wait until interrupted handlers have unwound, for a second at most."""
        if self._runs:
            await asyncio.wait(self._runs, timeout=UNWIND)

    async def _work(self) -> None:
        while True:
            task = await self._queue.get()
            self.processing.add(task)
            try:
                self._change_status(task, TaskStatus.PROCESSING)
                await self._process(task)
            finally:
                self.processing.discard(task)
                self._queue.task_done()
                if not task.finished:  # something unforeseen ends this worker: its task must not stay "processing"
                    self._change_status(task, TaskStatus.FAILED, error=INTERNAL)

    async def _process(self, task: Task) -> None:
        run = asyncio.create_task(self._run_handler(task))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        timer = asyncio.get_running_loop().call_later(self._timeout, self._time_out, task)
        try:
            # Wait for the status, not for the handler. Whoever finishes the task, be it the handler, a DELETE or the
            # timer, frees this worker at once, even where the handler ignores its cancellation.
            while not task.finished:
                await task.next_change().wait()
        finally:
            timer.cancel()
            if not run.done():
                run.cancel()
                asyncio.get_running_loop().call_later(UNWIND, self._tell_if_stubborn, task, run)

    async def _run_handler(self, task: Task) -> None:
        try:
            result = await self._handle(task)
        except asyncio.CancelledError:
            # A BaseException: "except Exception" would miss it and leave the task "processing" for ever. Where the
            # task was cancelled it is finished by now; otherwise the handler was cancelled behind our back.
            if not task.finished:
                self._change_status(task, TaskStatus.FAILED, error=INTERNAL)
            raise
        except Exception as error:
            failure = classify_failure(error)
            if failure is INTERNAL:
                logger.exception("task %(task_id)s: its handler crashed", {"task_id": task.task_id})
            self._change_status(task, TaskStatus.FAILED, error=failure)
        else:
            self._change_status(task, TaskStatus.COMPLETED, result=result)

    def _time_out(self, task: Task) -> None:
        error = asyncio.TimeoutError(f"The task took longer than {self._timeout:g} seconds.")
        self._change_status(task, TaskStatus.FAILED, error=classify_failure(error))

    def _tell_if_stubborn(self, task: Task, run: "asyncio.Task[None]") -> None:
        if not run.done():
            logger.warning("task %(task_id)s: its handler ignores its cancellation", {"task_id": task.task_id})
