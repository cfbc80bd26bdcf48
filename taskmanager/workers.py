"""WorkerPool: N worker loops side by side, each running its task in an asyncio.Task of its own.

Rules: ``asyncio.gather`` runs the loops, not batches, which idle until their slowest task is done (head-of-line
blocking). Cancelling a task cancels its asyncio.Task, stopping a worker the loop. Notebook: 02-queue-and-workers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from taskmanager.errors import INTERNAL, classify_failure
from taskmanager.models import Result, Task, TaskStatus
from taskmanager.pending import PendingQueue
from taskmanager.settings import Settings
from taskmanager.supervisor import Supervisor

Handle: TypeAlias = Callable[[Task], Awaitable[Result]]
ChangeStatus: TypeAlias = Callable[..., None]  # of a task, a TaskStatus, and its result or error
UNWIND = 1.0  # seconds that a cancelled handler gets before the log calls it stubborn

logger = logging.getLogger(__name__)


class WorkerPool:
    """Gives each task of ``queue`` to ``handle``: WORKERS at a time, and TASK_TIMEOUT seconds each at most."""

    def __init__(self, queue: PendingQueue, handle: Handle, change_status: ChangeStatus, settings: Settings) -> None:
        self.processing: set[Task] = set()
        self._queue, self._handle, self._change_status, self._settings = queue, handle, change_status, settings
        self.runs: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references

    async def run(self, supervisor: Supervisor) -> None:
        """Run the workers until this is cancelled."""
        names = [f"worker-{number}" for number in range(1, self._settings.workers + 1)]
        await asyncio.gather(*(supervisor.keep_alive(name, self._work) for name in names))

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
        self.runs.add(run)
        run.add_done_callback(self.runs.discard)
        timer = asyncio.get_running_loop().call_later(self._settings.task_timeout, self._time_out, task)
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
            self._change_status(task, TaskStatus.COMPLETED, result=await self._handle(task))
        except asyncio.CancelledError:
            # A BaseException: "except Exception" would miss it and leave the task "processing" for ever. A cancelled
            # task is finished by now; if this one is not, its handler was cancelled behind our back.
            if not task.finished:
                self._change_status(task, TaskStatus.FAILED, error=INTERNAL)
            raise
        except Exception as error:
            failure = classify_failure(error)
            if failure is INTERNAL:
                logger.exception("task %(task_id)s: its handler crashed", {"task_id": task.task_id})
            self._change_status(task, TaskStatus.FAILED, error=failure)

    def _time_out(self, task: Task) -> None:
        error = asyncio.TimeoutError(f"The task took longer than {self._settings.task_timeout:g} seconds.")
        self._change_status(task, TaskStatus.FAILED, error=classify_failure(error))

    def _tell_if_stubborn(self, task: Task, run: "asyncio.Task[None]") -> None:
        if not run.done():
            logger.warning("task %(task_id)s: its handler ignores its cancellation", {"task_id": task.task_id})
