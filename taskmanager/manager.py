"""TaskManager: the engine without HTTP. Submit, get, wait, list,
cancel.

Rules: what belongs together happens without an ``await`` in between, so
nobody sees half of it. The clock is read here, at the edge. Everything
is made inside the running loop and ends with it. Notebook: 00-tour.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from itertools import islice
from typing import Any, Literal

from typing_extensions import TypedDict

from taskmanager import cleanup, errors, estimate, executors, task_types
from taskmanager.pending import HEAD_START, PendingQueue
from taskmanager.settings import Settings
from taskmanager.store import TaskStore
from taskmanager.supervisor import Loop, Supervisor
from taskmanager.task import Task, TaskDict, TaskStatus, new_task_id, timestamp
from taskmanager.task_types import SUBMISSION, Result, Submission
from taskmanager.workers import UNWIND, WorkerPool

logger = logging.getLogger(__name__)


class Stats(TypedDict):
    """The live counts.

    ``degraded``: a background loop is dead, or the executor is lost.
    """

    status: Literal["ok", "degraded"]
    queued: int
    processing: int
    waiting: int  # open long polls
    streams: int  # open streams of tasks' events
    tasks: int  # records
    restarts: int  # of background loops
    workers: int
    queue_size: int


class TaskManager:
    """Runs tasks in the background, inside a running event loop.

    ``async with TaskManager(settings) as manager`` starts and stops it.
    CPU-bound work goes to ``executor``, which stays the caller's to
    start and to shut down, or else to one that the settings name.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        executor: Executor | None = None,
        new_task_id: Callable[[], str] = new_task_id,
    ) -> None:
        self.settings = settings
        self.stopping = False
        # The open streams of events, counted by whoever sends them: of
        # tasks, of the board, and of each client.
        self.streams: Counter[str] = Counter()
        self._new_task_id = new_task_id
        self._store = TaskStore(settings.max_tasks)
        self._queue = PendingQueue(settings.queue_size)
        self._waiting = 0

        self._owns_executor = executor is None
        self._executor = executor or executors.new_executor(settings)

        self._supervisor = Supervisor()
        self._pool = WorkerPool(
            self._queue, self._handle, self._change_status, settings
        )
        self._background: list[asyncio.Future[Any]] = []

    # Start and stop

    async def __aenter__(self) -> "TaskManager":
        if self._owns_executor:
            # It may block the loop, which has nobody to serve yet.
            self._executor.__enter__()

        self._background.append(self._pool.run(self._supervisor))
        sweep = partial(cleanup.sweep_tasks, self._store, self.settings)
        self.supervise("cleanup", sweep)
        return self

    def supervise(self, name: str, run: Loop) -> None:
        """Run the loop ``run()`` until the manager ends.

        It is started again when it dies, and ``stats`` tells of it.
        """
        self._background.append(self._supervisor.keep_alive(name, run))

    async def __aexit__(self, *exc_info: object) -> None:
        self.begin_stop()
        self._supervisor.stop()
        await asyncio.gather(*self._background)

        # Handlers clean up.
        if self._pool.interrupted:
            await asyncio.wait(self._pool.interrupted, timeout=UNWIND)
        if self._owns_executor:
            await executors.shut_down(self._executor)

    def begin_stop(self) -> None:
        """Take no new work, and cancel what is not finished.

        That answers all who wait for it. A second call changes nothing.
        """
        if self.stopping:
            return
        self.stopping = True

        unfinished = [
            task for page in self._store.pages() for task in page if not task.finished
        ]
        # The last one first: nothing behind it in the queue has to move
        # up.
        for task in reversed(unfinished):
            self.cancel(task.task_id)

    # What a client can ask for

    def submit(
        self,
        submission: Submission | dict[str, Any],
        idempotency_key: str | None = None,
    ) -> Task:
        """Queue a task, or find the one that came with the same key.

        A key means the same whoever brings it, so where there are
        several clients it has to name the client as well. A dict is
        checked and made a Submission first. Raises
        pydantic.ValidationError, ShuttingDownError, KeyReusedError or
        QueueFullError.
        """
        if not isinstance(submission, Submission):
            submission = SUBMISSION.validate_python(submission)
        self.check_running()
        # None, for no key, is never in there.
        known = self._store.by_key.get(idempotency_key)
        if known is not None:
            if known.is_of(submission):
                return known
            raise errors.KeyReusedError(
                "This Idempotency-Key came with another submission before."
            )
        if self._queue.full() or not self._store.has_room:
            detail = "No slot is free; try again later."
            free = estimate.seconds_until_free(self._ends(), self.settings.workers)
            raise errors.QueueFullError(detail, estimate.whole_seconds(free))

        task = self._new_task(submission, idempotency_key)
        self._store.add(task)
        self._queue.put_nowait(task)

        fields = {"task_id": task.task_id, "task_type": task.task_type, "to": "queued"}
        logger.info("task %(task_id)s: submitted", fields)
        return task

    def get(self, task_id: str) -> Task:
        """The task with this id. Raises TaskNotFoundError."""
        task = self._store.by_id.get(task_id)
        if task is None:
            raise errors.TaskNotFoundError(
                "No task has this id; a finished one is removed after a while."
            )
        return task

    async def wait(
        self,
        task_id: str,
        since: int | None = None,
        gone: "asyncio.Future[Any] | None" = None,
    ) -> Task:
        """Long poll: wait until the version is above ``since``.

        A finished task is not waited for. Without ``since`` that is the
        version it has now. WAIT_TIMEOUT is the longest, and nobody is
        left to wait for once ``gone`` is done. Raises
        TaskNotFoundError.
        """
        task = self.get(task_id)
        seen = task.version if since is None else since
        loop = asyncio.get_running_loop()
        # One deadline, however often the wait wakes.
        deadline = loop.time() + self.settings.wait_timeout
        if gone is None:
            gone = loop.create_future()

        self._waiting += 1
        try:
            while not (task.changed_since(seen) or gone.done()):
                # Not wait_for: in Python 3.10 it swallows a
                # cancellation that comes with the change.
                changed = asyncio.ensure_future(task.next_change().wait())
                try:
                    done, _ = await asyncio.wait(
                        [changed, gone],
                        timeout=deadline - loop.time(),
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    changed.cancel()
                # Not by the clock: a timer may be due a little before
                # its time, and one that is virtual would stand still.
                if not done:
                    break
        finally:
            self._waiting -= 1
        return task

    def check_running(self) -> None:
        """Raise ShuttingDownError once it is stopping."""
        if self.stopping:
            raise errors.ShuttingDownError

    def list_tasks(self, status: TaskStatus | None = None) -> Iterator[list[Task]]:
        """The tasks submitted until now, in that order, in lists.

        A list has up to 128; others may run between two of them.
        """
        return self._store.pages(status)

    def cancel(self, task_id: str) -> Task:
        """Cancel a task, or leave it cancelled.

        Raises TaskNotFoundError, and TaskFinishedError for other ends.
        """
        task = self.get(task_id)
        if task.status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
            raise errors.TaskFinishedError(f"The task has {task.status.value} already.")
        if task.status is TaskStatus.QUEUED:
            # That frees its slot at once.
            self._queue.remove(task)
        if not task.finished:
            # A worker that has it wakes, and takes the next one.
            self._change_status(task, TaskStatus.CANCELLED)
        return task

    # What can be said of it

    def describe(self, task: Task) -> TaskDict:
        """The task as JSON shows it."""
        position = None
        if task.status is TaskStatus.QUEUED:
            position = self._queue.position(task)
        return task.to_dict(position)

    def retry_after(self, task: Task) -> int:
        """The whole seconds until the task should have finished.

        They are at least 1.
        """
        if task.finished:
            return 1
        if task.status is TaskStatus.PROCESSING:
            return estimate.whole_seconds(_seconds_left(task, time.monotonic()))

        begin = estimate.seconds_until_begun(
            ahead=self._queue.position(task),
            mean=self._queue.expected_seconds / self._queue.qsize(),
            ends=self._ends(),
            workers=self.settings.workers,
        )
        return estimate.whole_seconds(begin + task.expected_seconds)

    def overview(self, most: int) -> tuple[list[Task], list[Task], list[Task]]:
        """What goes on: tasks in process, next in the queue, and ended.

        Of each there are ``most`` at most; of those that have ended,
        the last ones.
        """
        processing = list(self._pool.processing)
        finished = islice(reversed(self._store.finished), most)
        return processing[:most], self._queue.first(most), list(finished)

    def stats(self) -> Stats:
        """The live counts."""
        # Only an executor that is a cluster can be lost: when it is not
        # connected.
        lost = getattr(self._executor, "lost", False)
        degraded = bool(self._supervisor.dead) or lost
        status: Literal["ok", "degraded"] = "degraded" if degraded else "ok"
        return {
            "status": status,
            "queued": self._queue.qsize(),
            "processing": len(self._pool.processing),
            "waiting": self._waiting,
            "streams": self.streams["tasks"],
            "tasks": len(self._store.by_id),
            "restarts": self._supervisor.restarts,
            "workers": self.settings.workers,
            "queue_size": self.settings.queue_size,
        }

    # Inside

    def _new_task(self, submission: Submission, idempotency_key: str | None) -> Task:
        now = time.monotonic()
        unix_time = time.time()
        number = self._store.next_number
        simulated = submission.parameters.simulated_seconds
        return Task(
            task_id=self._new_task_id(),
            task_type=submission.task_type,
            parameters=submission.parameters,
            priority=submission.priority,
            number=number,
            place=(now + HEAD_START[submission.priority], number),
            expected_seconds=simulated * self.settings.work_scale,
            created_at=timestamp(unix_time),
            clock_offset=unix_time - now,
            status_since=now,
            idempotency_key=idempotency_key,
        )

    def _change_status(
        self,
        task: Task,
        status: TaskStatus,
        *,
        result: Result | None = None,
        error: errors.TaskError | None = None,
    ) -> None:
        """The one way to a new status: record, index and log.

        The first terminal status wins.
        """
        before = task.status
        since = task.status_since
        now = time.monotonic()
        if task.finished:
            text = "task %(task_id)s is %(from)s already: %(to)s is dropped"
        else:
            text = "task %(task_id)s: %(from)s -> %(to)s"
            at = timestamp(task.clock_offset + now)
            task.change_status(status, at, now, result, error)
            if task.finished:
                self._store.finished.append(task)

        # No fields for a line that nobody wants (benchmarks:
        # shortcuts).
        if logger.isEnabledFor(logging.INFO):
            fields = {
                "task_id": task.task_id,
                "task_type": task.task_type,
                "from": before.value,
                "to": status.value,
                "seconds": round(now - since, 3),
            }
            logger.info(text, fields)

    def _handle(self, task: Task) -> Awaitable[Result]:
        tools = task_types.Tools(
            work_scale=self.settings.work_scale,
            report_progress=task.report_progress,
            in_executor=self._in_executor,
        )
        return task_types.run(task.task_type, task.parameters, tools)

    def _in_executor(
        self, function: Callable[..., int], *args: object
    ) -> Awaitable[int]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._executor, function, *args)

    def _ends(self) -> list[float]:
        """For each task in process, the seconds until it should end."""
        now = time.monotonic()
        return [_seconds_left(task, now) for task in self._pool.processing]


def _seconds_left(task: Task, now: float) -> float:
    return task.status_since + task.expected_seconds - now
