"""TaskManager: the engine without HTTP. Submit, get, wait, list, cancel.

Rules: what belongs together happens without an ``await`` in between, so nobody sees half of it. The clock is read
here, at the edge. Everything is made inside the running loop and ends with it. Notebook: 00-tour.
"""

import asyncio
import contextlib
import logging
import math
import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor

from pydantic import TypeAdapter

from taskmanager import handlers
from taskmanager.cleanup import clean_up
from taskmanager.errors import QueueFullError, ShuttingDownError, TaskError, TaskFinishedError, TaskNotFoundError
from taskmanager.logs import timestamp
from taskmanager.models import Result, Task, TaskDict, TaskStatus
from taskmanager.parameters import HEAD_START, Submission
from taskmanager.pending import PendingQueue
from taskmanager.ratelimit import SlidingWindow
from taskmanager.settings import Settings
from taskmanager.store import TaskStore
from taskmanager.supervisor import Supervisor
from taskmanager.workers import WorkerPool

logger = logging.getLogger(__name__)


class TaskManager:
    """Runs tasks in the background: ``async with TaskManager(settings) as manager``, inside a running loop.

    CPU-bound work goes to ``executor``, any concurrent.futures.Executor, which stays the caller's to shut down.
    Without one, a pool of processes starts when it is first needed.
    """

    def __init__(self, settings: Settings, *, executor: Executor | None = None) -> None:
        self.settings = settings
        self.stopping = False
        self.limiter: SlidingWindow | None = None
        if settings.rate_limit is not None:
            self.limiter = SlidingWindow(settings.rate_limit, settings.rate_window, settings.max_clients)
        self._store = TaskStore(settings.max_tasks)
        self._queue = PendingQueue(settings.queue_size)
        self._supervisor = Supervisor()
        size, timeout = settings.workers, settings.task_timeout
        self._pool = WorkerPool(self._queue, self._handle, self._change_status, size=size, timeout=timeout)
        self._executor = executor
        self._processes: ProcessPoolExecutor | None = None
        self._background: list[asyncio.Task[None]] = []
        self._waiting = 0

    async def __aenter__(self) -> "TaskManager":
        self._background = [
            asyncio.create_task(self._pool.run(self._supervisor)),
            asyncio.create_task(self._supervisor.keep_alive("cleanup", self._clean_up)),
        ]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.begin_stop()
        for background in self._background:
            background.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._pool.drain()
        if self._processes is not None:
            await asyncio.to_thread(self._processes.shutdown)  # waits for segments under way, each about 0.2 s

    def begin_stop(self) -> None:
        """Take no new work, and cancel what is not finished, which answers all who wait for it."""
        self.stopping = True
        for task in [task for page in self._store.pages() for task in page if not task.finished]:
            self.cancel(task.task_id)
        if self._processes is not None:
            self._processes.shutdown(wait=False, cancel_futures=True)

    def submit(self, submission: Submission | TaskDict) -> Task:
        """Queue a task; a dict is checked first, as the API checks a request's JSON.

        Raises pydantic.ValidationError, ShuttingDownError, and QueueFullError where no slot is free. Nothing of a
        refused submission is kept, and nothing is forgotten for it.
        """
        if isinstance(submission, dict):
            submission = TypeAdapter[Submission](Submission).validate_python(submission)
        if self.stopping:
            raise ShuttingDownError()
        if self._queue.full() or self._store.full:
            raise QueueFullError("No slot is free; try again later.", _whole(self._next_free()))
        clock, number = time.monotonic(), self._store.next_number
        task = Task(
            task_id=str(uuid.uuid4()),
            task_type=submission.task_type,
            parameters=submission.parameters,
            priority=submission.priority,
            number=number,
            place=(clock + HEAD_START[submission.priority], number),
            expected_seconds=submission.parameters.expected_seconds(self.settings.work_scale),
            created_at=timestamp(time.time()),
            changed_clock=clock,
        )
        self._store.add(task)
        self._queue.put_nowait(task)
        return task

    def get(self, task_id: str) -> Task:
        """The task with this id. Raises TaskNotFoundError."""
        task = self._store.get(task_id)
        if task is None:
            raise TaskNotFoundError("No task has this id; a finished one is removed after a while.")
        return task

    async def wait(self, task_id: str, since: int | None = None) -> Task:
        """Long poll: the task as soon as it is finished or its version is above ``since`` (default: that of now).

        After WAIT_TIMEOUT seconds, the task as it is then. Raises TaskNotFoundError.
        """
        task, clock = self.get(task_id), asyncio.get_running_loop().time
        seen = task.version if since is None else since
        deadline = clock() + self.settings.wait_timeout  # one, however often the wait wakes
        self._waiting += 1
        try:
            while not task.news_since(seen) and (left := deadline - clock()) > 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(task.next_change().wait(), left)
        finally:
            self._waiting -= 1
        return task

    async def list_tasks(self, status: TaskStatus | None = None, limit: int | None = None) -> AsyncIterator[list[Task]]:
        """The tasks submitted until the first is asked for, in that order, up to 256 at a time.

        Others run in between, so each is shown as it is by then, and one that was cleaned up is left out.
        """
        for page in self._store.pages(status):
            tasks = page[:limit]
            if tasks:
                yield tasks
            if limit is not None:
                limit -= len(tasks)
                if limit == 0:
                    return
            await asyncio.sleep(0)

    def cancel(self, task_id: str) -> Task:
        """Cancel a task: a queued one frees its slot at once, a processing one its worker.

        A cancelled one stays as it is. Raises TaskNotFoundError, and TaskFinishedError if it completed or failed.
        """
        task = self.get(task_id)
        match task.status:
            case TaskStatus.QUEUED:
                self._queue.remove(task)
                self._change_status(task, TaskStatus.CANCELLED)
            case TaskStatus.PROCESSING:
                self._change_status(task, TaskStatus.CANCELLED)  # its worker waits for that, and stops the handler
            case TaskStatus.COMPLETED | TaskStatus.FAILED:
                raise TaskFinishedError(f"The task has {task.status.value} already.")
        return task

    def describe(self, task: Task) -> TaskDict:
        """The task as JSON."""
        return task.to_dict(self._queue.position(task) if task.status is TaskStatus.QUEUED else None)

    def retry_after(self, task: Task) -> int:
        """Whole seconds, at least 1, until a queued task can be expected to finish."""
        idle = self.settings.workers - len(self._pool.processing)
        waits_for = self._queue.position(task) - idle  # tasks that also have to wait for a worker, and go first
        start = 0.0
        if waits_for >= 0:
            mean = self._queue.expected_seconds / self._queue.qsize()
            start = (mean if idle else self._next_free()) + mean * waits_for / self.settings.workers
        return _whole(start + task.expected_seconds)

    def stats(self) -> dict[str, str | int]:
        """The live counts that ``GET /health`` shows."""
        return {
            "status": "degraded" if self._supervisor.dead else "ok",
            "queued": self._queue.qsize(),
            "processing": len(self._pool.processing),
            "tasks": len(self._store),
            "waiting": self._waiting,
            "workers": self.settings.workers,
            "queue_size": self.settings.queue_size,
            "restarts": self._supervisor.restarts,
        }

    def _change_status(
        self, task: Task, status: TaskStatus, *, result: Result | None = None, error: TaskError | None = None
    ) -> None:
        """The one way to a new status: record, index and log. The first final status wins."""
        fields = {"task_id": task.task_id, "task_type": task.task_type, "from": task.status.value, "to": status.value}
        if task.finished:
            logger.info("task %(task_id)s is %(from)s already: %(to)s is dropped", fields)
            return
        clock, before = time.monotonic(), task.changed_clock
        task.change_status(status, timestamp(time.time()), clock, result, error)
        if task.finished:
            self._store.mark_finished(task)
        logger.info("task %(task_id)s: %(from)s -> %(to)s", fields | {"seconds": round(clock - before, 3)})

    async def _handle(self, task: Task) -> Result:
        tools = handlers.Tools(self.settings.work_scale, task.report_progress, self._in_executor)
        return await handlers.run(task.task_type, task.parameters, tools)

    async def _in_executor(self, function: Callable[..., int], *args: int) -> int:
        executor = self._executor or self._own_processes()
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, function, *args)
        except BrokenExecutor:
            if executor is self._processes:
                self._processes = None  # a process was killed: the next task gets a new pool
            raise

    def _own_processes(self) -> ProcessPoolExecutor:
        if self._processes is None:
            # Spawned, since a fork of a process with threads may deadlock. Deaf to Ctrl-C, which reaches the whole
            # process group: this process decides when they end.
            deaf = (signal.SIGINT, signal.SIG_IGN)
            spawn = multiprocessing.get_context("spawn")
            self._processes = ProcessPoolExecutor(os.cpu_count(), spawn, initializer=signal.signal, initargs=deaf)
        return self._processes

    async def _clean_up(self) -> None:
        settings = self.settings
        await clean_up(self._store, self.limiter, retention=settings.retention, interval=settings.cleanup_interval)

    def _next_free(self) -> float:
        """Seconds until a worker can be expected to be free, where all are busy."""
        ends = (task.changed_clock + task.expected_seconds for task in self._pool.processing)
        return min(ends, default=0.0) - time.monotonic()


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))
