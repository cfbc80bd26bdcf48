"""WorkerPool: N worker loops side by side, each running its task in an
asyncio.Task of its own.

Rules: ``asyncio.gather`` runs the loops, not batches, which idle until
their slowest task is done (head-of-line blocking). Cancelling a task
cancels its asyncio.Task, stopping a worker the loop. Notebook:
02-queue-and-workers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from taskmanager.errors import INTERNAL, classify_failure
from taskmanager.pending import PendingQueue
from taskmanager.settings import Settings
from taskmanager.supervisor import Supervisor
from taskmanager.task import Task, TaskStatus
from taskmanager.task_types import Result

Handle = Callable[[Task], Awaitable[Result]]
ChangeStatus = Callable[..., None]  # of a task, a TaskStatus, and its result or error
UNWIND = 1.0  # seconds that a cancelled handler gets before the log calls it stubborn

logger = logging.getLogger(__name__)


class WorkerPool:
    """Gives each task of ``queue`` to ``handle``: WORKERS at a time,
    and TASK_TIMEOUT seconds each at most.
    """

    def __init__(
        self,
        queue: PendingQueue,
        handle: Handle,
        change_status: ChangeStatus,
        settings: Settings,
    ) -> None:
        # In the order begun: the loop's time at which it times out, and
        # what its worker waits for.
        self.processing: dict[Task, tuple[float, asyncio.Future[None]]] = {}
        self._queue, self._handle, self._change_status, self._settings = (
            queue,
            handle,
            change_status,
            settings,
        )
        # handlers that have not ended yet
        self.interrupted: set[asyncio.Task[None]] = set()

    async def run(self, supervisor: Supervisor) -> None:
        """Run the workers until this is cancelled."""
        workers = (
            supervisor.keep_alive(f"worker-{n}", self._work)
            for n in range(1, self._settings.workers + 1)
        )
        await asyncio.gather(
            *workers, supervisor.keep_alive("timeouts", self._time_out)
        )

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            task, run, freed = await self._queue.get(), None, loop.create_future()
            self.processing[task] = loop.time() + self._settings.task_timeout, freed
            try:
                self._change_status(task, TaskStatus.PROCESSING)
                run = asyncio.create_task(self._run_handler(task))
                # Not for the handler, which may ignore its
                # cancellation: whoever finishes the task, be it the
                # handler, a DELETE or the timeout, frees this worker at
                # once.
                await freed
            finally:
                del self.processing[task]
                self._queue.task_done()
                if run is not None and not run.done():
                    self._interrupt(task, run)
                # something unforeseen ends this worker: its task must
                # not stay "processing"
                if not task.finished:
                    self._change_status(task, TaskStatus.FAILED, error=INTERNAL)

    def free(self, task: Task) -> None:
        """Let the worker of a task that has just finished take the next
        one.
        """
        if task in self.processing:
            self.processing[task][1].set_result(None)

    async def _time_out(self) -> None:
        """Fail what has processed for TASK_TIMEOUT: one loop for all,
        since a timer a task would cost 1.6 µs each.
        """
        loop, timeout = asyncio.get_running_loop(), self._settings.task_timeout
        error = classify_failure(
            asyncio.TimeoutError(f"The task took longer than {timeout:g} seconds.")
        )
        while True:
            now = loop.time()
            for task in [
                task
                for task, (end, freed) in self.processing.items()
                if end <= now and not freed.done()
            ]:
                self._change_status(task, TaskStatus.FAILED, error=error)
            # Until the oldest times out; a task that begins meanwhile
            # does so later.
            first = min(
                (end for end, _ in self.processing.values()), default=now + timeout
            )
            await asyncio.sleep(max(0.001, first - now))

    def _interrupt(self, task: Task, run: "asyncio.Task[None]") -> None:
        run.cancel()
        self.interrupted.add(run)  # the event loop itself keeps only weak references
        run.add_done_callback(self.interrupted.discard)
        text, fields = (
            "task %(task_id)s: its handler ignores its cancellation",
            {"task_id": task.task_id},
        )
        warning = asyncio.get_running_loop().call_later(
            UNWIND, logger.warning, text, fields
        )
        run.add_done_callback(lambda _: warning.cancel())

    async def _run_handler(self, task: Task) -> None:
        try:
            self._change_status(
                task, TaskStatus.COMPLETED, result=await self._handle(task)
            )
        except asyncio.CancelledError:
            # A BaseException: "except Exception" would miss it and
            # leave the task "processing" for ever. A cancelled task is
            # finished by now; if this one is not, its handler was
            # cancelled behind our back.
            if not task.finished:
                self._change_status(task, TaskStatus.FAILED, error=INTERNAL)
            raise
        except Exception as error:
            failure = classify_failure(error)
            if failure is INTERNAL:
                logger.exception(
                    "task %(task_id)s: its handler crashed", {"task_id": task.task_id}
                )
            self._change_status(task, TaskStatus.FAILED, error=failure)
