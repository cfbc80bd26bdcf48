"""WorkerPool: N worker loops side by side, each running its task in an
asyncio.Task of its own.

Rules: ``asyncio.gather`` runs the loops, not batches, which idle until
their slowest task is done (head-of-line blocking). Cancelling a task
cancels its asyncio.Task, stopping a worker the loop.
Notebook: 03-queue-and-workers.
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

# Seconds that a cancelled handler gets before the log calls it
# stubborn.
UNWIND = 1.0

logger = logging.getLogger(__name__)


class WorkerPool:
    """Gives each task of ``queue`` to ``handle``.

    WORKERS are processed at a time, for TASK_TIMEOUT seconds at most.
    ``change_status`` is called with a task, its new TaskStatus, and
    ``result`` or ``error``.
    """

    def __init__(
        self,
        queue: PendingQueue,
        handle: Callable[[Task], Awaitable[Result]],
        change_status: Callable[..., None],
        settings: Settings,
    ) -> None:
        self._queue = queue
        self._handle = handle
        self._change_status = change_status
        self._settings = settings
        # In the order begun; the loop's time at which each times out.
        self.processing: dict[Task, float] = {}
        # Handlers that were cancelled and have not ended yet. The event
        # loop itself keeps only weak references.
        self.interrupted: set[asyncio.Task[None]] = set()

    def run(self, supervisor: Supervisor) -> "asyncio.Future[list[None]]":
        """Run the workers until ``supervisor`` stops."""
        numbers = range(1, self._settings.workers + 1)
        loops = [supervisor.keep_alive(f"worker-{n}", self._work) for n in numbers]
        timeouts = supervisor.keep_alive("timeouts", self._time_out)
        return asyncio.gather(*loops, timeouts)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            task = await self._queue.get()
            handler: asyncio.Task[None] | None = None
            self.processing[task] = loop.time() + self._settings.task_timeout
            try:
                self._change_status(task, TaskStatus.PROCESSING)
                run = self._run_handler(task)
                # Its first step is made here, into its "try": of a
                # coroutine that is cancelled before that, no line runs.
                run.send(None)
                handler = asyncio.create_task(run)

                # What takes no time has ended a turn of the event loop
                # later. To hear of it from an Event would take another,
                # in which a busy server answers dozens of requests
                # (benchmarks: alternatives, shortcuts).
                await asyncio.sleep(0)

                # A worker waits as a long poll does, for the task and
                # not for its handler, which may ignore its
                # cancellation: whoever finishes the task, be it the
                # handler, a DELETE or the timeout, wakes it. The next
                # change of a task in process is its end.
                if not task.finished:
                    await task.next_change().wait()
            finally:
                del self.processing[task]
                self._queue.task_done()
                if handler is not None and not handler.done():
                    self._interrupt(task, handler)
                if not task.finished:
                    # Something unforeseen ends this worker: its task
                    # must not stay "processing" for ever.
                    self._change_status(task, TaskStatus.FAILED, error=INTERNAL)
                # Or an idle worker would hold it, with what it raised.
                del handler

    async def _run_handler(self, task: Task) -> None:
        try:
            # The end of the first step, which the worker makes.
            await asyncio.sleep(0)
            result = await self._handle(task)
            self._change_status(task, TaskStatus.COMPLETED, result=result)
        except asyncio.CancelledError:
            # A BaseException, which "except Exception" misses. Whoever
            # cancelled the task has finished it.
            raise
        except (Exception, SystemExit) as error:
            # SystemExit would end the event loop, and with it the
            # server.
            failure = classify_failure(error)
            if failure is INTERNAL:
                fields = {"task_id": task.task_id}
                logger.exception("task %(task_id)s: its handler crashed", fields)
            self._change_status(task, TaskStatus.FAILED, error=failure)
        finally:
            # One that is not finished by now, since its handler was
            # cancelled behind our back or raised what is no Exception,
            # must not stay "processing" for ever.
            if not task.finished:
                self._change_status(task, TaskStatus.FAILED, error=INTERNAL)

    async def _time_out(self) -> None:
        """Fail what has processed for TASK_TIMEOUT.

        One loop does it for all: a timer for each task costs more
        (benchmarks: shortcuts).
        """
        clock = asyncio.get_running_loop().time
        timeout = self._settings.task_timeout
        text = f"The task took longer than {timeout:g} seconds."
        error = classify_failure(asyncio.TimeoutError(text))
        while True:
            now = clock()
            for task, end in list(self.processing.items()):
                if end <= now and not task.finished:
                    self._change_status(task, TaskStatus.FAILED, error=error)

            # Until the first times out; what begins meanwhile does so
            # later.
            first = min(self.processing.values(), default=now + timeout)
            await asyncio.sleep(max(0.001, first - now))

    def _interrupt(self, task: Task, handler: "asyncio.Task[None]") -> None:
        handler.cancel()
        self.interrupted.add(handler)
        handler.add_done_callback(self.interrupted.discard)

        # The warning is called off when the handler ends in time.
        loop = asyncio.get_running_loop()
        warning = loop.call_later(UNWIND, self._warn_of_stubborn, task)
        handler.add_done_callback(lambda _: warning.cancel())

    def _warn_of_stubborn(self, task: Task) -> None:
        fields = {"task_id": task.task_id}
        logger.warning("task %(task_id)s: its handler ignores its cancellation", fields)
