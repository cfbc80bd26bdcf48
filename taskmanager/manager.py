"""TaskManager: the engine without HTTP. Submit, get, wait, list,
cancel.

Rules: what belongs together happens without an ``await`` in between, so
nobody sees half of it. The clock is read here, at the edge. Everything
is made inside the running loop and ends with it. Notebook: 00-tour.
"""

import asyncio
import logging
import math
import multiprocessing
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from functools import partial

from taskmanager import cleanup, errors, task_types
from taskmanager.pending import HEAD_START, PendingQueue
from taskmanager.ratelimit import SlidingWindow
from taskmanager.settings import Settings
from taskmanager.store import TaskStore
from taskmanager.supervisor import Supervisor
from taskmanager.task import (
    Task,
    TaskDict,
    TaskStatus,
    new_task_id,
    timestamp,
)
from taskmanager.task_types import SUBMISSION, Result, Submission
from taskmanager.workers import UNWIND, WorkerPool

logger = logging.getLogger(__name__)


class TaskManager:
    """Runs tasks in the background: ``async with TaskManager(settings)
    as manager``, inside a running loop. CPU-bound work goes to
    ``executor``, which stays the caller's to shut down, or else to
    processes of its own.
    """

    def __init__(self, settings: Settings, *, executor: Executor | None = None) -> None:
        self.settings, self.stopping, self._waiting = settings, False, 0
        limit = settings.rate_limit
        self.limiter = (
            None
            if limit is None
            else SlidingWindow(limit, settings.rate_window, settings.max_clients)
        )
        self._store = TaskStore(settings.max_tasks)
        self._queue = PendingQueue(settings.queue_size)
        self._supervisor = Supervisor()
        self._pool = WorkerPool(
            self._queue, self._handle, self._change_status, settings
        )
        self._executor, self._owns_executor = executor, executor is None
        self._background: list[asyncio.Task[None]] = []
        # requests that wait for their body, until the stop
        self.body_readers: set[asyncio.Task[object] | None] = set()

    async def __aenter__(self) -> "TaskManager":
        sweeping = partial(
            cleanup.sweep_regularly, self._store, self.limiter, self.settings
        )
        loops = (
            self._pool.run(self._supervisor),
            self._supervisor.keep_alive("cleanup", sweeping),
        )
        self._background = [asyncio.create_task(loop) for loop in loops]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.begin_stop()
        for background in self._background:
            background.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._pool.interrupted:
            # the handlers' clean-up
            await asyncio.wait(self._pool.interrupted, timeout=UNWIND)
        if self._owns_executor and self._executor is not None:
            # waits for segments under way
            await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    def begin_stop(self) -> None:
        """Take no new work, and cancel what is not finished, which
        answers all who wait for it.
        """
        self.stopping = True
        for request in filter(None, self.body_readers):
            request.cancel()
        for task in reversed(
            [task for page in self._store.pages() for task in page if not task.finished]
        ):
            # the last one first: nothing behind it in the queue has to
            # move up
            self.cancel(task.task_id)

    def submit(
        self, submission: Submission | dict[str, object], key: str | None = None
    ) -> Task:
        """Queue a task, or find the one that came with the same
        ``key``, which has to name the client, too. A dict is checked
        first. Raises pydantic.ValidationError, ShuttingDown-,
        KeyReused- or QueueFullError.
        """
        if isinstance(submission, dict):
            submission = SUBMISSION.validate_python(submission)
        if self.stopping:
            raise errors.ShuttingDownError(
                "The server is shutting down.", retry_after=5
            )
        if (known := self._store.by_key.get(key)) is not None:
            if (known.parameters, known.priority) != (
                submission.parameters,
                submission.priority,
            ):
                raise errors.KeyReusedError(
                    "This Idempotency-Key came with another submission before."
                )
            return known
        if self._queue.full() or self._store.full:
            raise errors.QueueFullError(
                "No slot is free; try again later.", self.retry_after()
            )
        clock, number = time.monotonic(), self._store.next_number
        task = Task(
            task_id=new_task_id(),
            task_type=submission.task_type,
            parameters=submission.parameters,
            priority=submission.priority,
            number=number,
            place=(clock + HEAD_START[submission.priority], number),
            expected_seconds=submission.parameters.simulated_seconds
            * self.settings.work_scale,
            created_at=timestamp(int(time.time() * 1000)),
            changed_clock=clock,
            key=key,
        )
        self._store.add(task)
        self._queue.put_nowait(task)
        return task

    def get(self, task_id: str) -> Task:
        if (task := self._store.by_id.get(task_id)) is None:
            raise errors.TaskNotFoundError(
                "No task has this id; a finished one is removed after a while."
            )
        return task

    async def wait(self, task_id: str, since: int | None = None) -> Task:
        """Long poll until the task is finished or above version
        ``since`` (or now's), for WAIT_TIMEOUT at most.
        """
        task, clock = self.get(task_id), asyncio.get_running_loop().time
        seen = task.version if since is None else since
        # one, however often the wait wakes
        deadline = clock() + self.settings.wait_timeout
        self._waiting += 1
        try:
            while not task.news_since(seen) and clock() < deadline:
                if sys.version_info >= (3, 11):
                    async with asyncio.timeout_at(deadline):
                        await task.next_change().wait()
                # not wait_for, which in Python 3.10 swallows a
                # cancellation that comes with the change
                else:
                    changed = asyncio.ensure_future(task.next_change().wait())
                    try:
                        await asyncio.wait((changed,), timeout=deadline - clock())
                    finally:
                        changed.cancel()
        except asyncio.TimeoutError:
            pass
        finally:
            self._waiting -= 1
        return task

    def list_tasks(self, status: TaskStatus | None = None) -> Iterator[list[Task]]:
        """The tasks submitted until now, in that order, in lists of up
        to 128; others may run between two of them.
        """
        return self._store.pages(status)

    def cancel(self, task_id: str) -> Task:
        """Cancel a task, or leave it cancelled. Raises
        TaskNotFoundError, and TaskFinishedError for other ends.
        """
        task = self.get(task_id)
        if task.status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
            raise errors.TaskFinishedError(f"The task has {task.status.value} already.")
        if task.status is TaskStatus.QUEUED:
            self._queue.remove(task)  # frees its slot at once
        if not task.finished:
            # a worker that has it waits for that, and takes the next
            self._change_status(task, TaskStatus.CANCELLED)
        return task

    def describe(self, task: Task) -> TaskDict:
        return task.to_dict(
            self._queue.position(task) if task.status is TaskStatus.QUEUED else None
        )

    def retry_after(self, task: Task | None = None) -> int:
        """Whole seconds, at least 1, until ``task`` can be expected to
        finish; or until a worker is free.
        """
        if task is not None and task.status is not TaskStatus.QUEUED:
            end = task.changed_clock + task.expected_seconds
            return 1 if task.finished else max(1, math.ceil(end - time.monotonic()))
        idle, seconds = self.settings.workers - len(self._pool.processing), 0.0
        if not idle:
            ends = (
                task.changed_clock + task.expected_seconds
                for task in self._pool.processing
            )
            seconds = max(0.0, min(ends) - time.monotonic())
        if task is not None:
            # how many go first and have to wait for a worker as well
            first = self._queue.position(task) - idle
            if first >= 0:
                mean = self._queue.expected_seconds / self._queue.qsize()
                seconds += mean * first / self.settings.workers + (
                    mean if idle else 0.0
                )
            seconds += task.expected_seconds
        return max(1, math.ceil(seconds))

    def stats(self) -> dict[str, str | int]:
        """The live counts; ``waiting`` are long polls. Degraded: a
        background loop is dead, or the executor lost.
        """
        running = {
            "queued": self._queue.qsize(),
            "processing": len(self._pool.processing),
            "waiting": self._waiting,
        }
        kept = {"tasks": len(self._store.by_id), "restarts": self._supervisor.restarts}
        limits = {
            "workers": self.settings.workers,
            "queue_size": self.settings.queue_size,
        }
        # not connected at the moment
        bad = self._supervisor.dead or getattr(self._executor, "lost", False)
        return {"status": "degraded" if bad else "ok"} | running | kept | limits

    def _change_status(
        self,
        task: Task,
        status: TaskStatus,
        *,
        result: Result | None = None,
        error: errors.TaskError | None = None,
    ) -> None:
        """The one way to a new status: record, index and log. The first
        final status wins.
        """
        before, since, clock = task.status, task.changed_clock, time.monotonic()
        text = "task %(task_id)s is %(from)s already: %(to)s is dropped"
        if not task.finished:
            text = "task %(task_id)s: %(from)s -> %(to)s"
            task.change_status(
                status, timestamp(int(time.time() * 1000)), clock, result, error
            )
            if task.finished:
                self._store.finished.append(task)
                self._pool.free(task)
        # to make the fields costs more than the change
        if logger.isEnabledFor(logging.INFO):
            fields = {
                "task_id": task.task_id,
                "task_type": task.task_type,
                "from": before.value,
                "to": status.value,
            }
            logger.info(text, fields | {"seconds": round(clock - since, 3)})

    def _handle(self, task: Task) -> Awaitable[Result]:
        tools = task_types.Tools(
            self.settings.work_scale, task.report_progress, self._in_executor
        )
        return task_types.run(task.task_type, task.parameters, tools)

    async def _in_executor(self, function: Callable[..., int], *args: int) -> int:
        if (executor := self._executor) is None:
            # Spawned: forks of a process with threads may deadlock.
            # Deaf to Ctrl-C: this process decides when they end.
            spawn, deaf = (
                multiprocessing.get_context("spawn"),
                (signal.SIGINT, signal.SIG_IGN),
            )
            self._executor = executor = ProcessPoolExecutor(
                mp_context=spawn, initializer=signal.signal, initargs=deaf
            )
        try:
            return await asyncio.get_running_loop().run_in_executor(
                executor, function, *args
            )
        except BrokenExecutor:
            if not isinstance(executor, ProcessPoolExecutor) or not self._owns_executor:
                raise
            if executor is self._executor:
                # one process was killed, which ends them all: the next
                # task gets new ones
                self._executor = None
            for process in (executor._processes or {}).values():
                # CPython may forget one that it starts meanwhile; it
                # would live for ever
                process.kill()
            raise RuntimeError("a process of the pool was killed") from None
