"""One-line faults to patch into the engine, each of which the
simulation has to find.

Rule: a fault is a place, what stands there and what stands there
instead, so that it reads as a diff, and says so when the engine has
changed and it no longer fits.
"""

import contextlib
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock


class OutdatedFaultError(LookupError):
    """The engine has no longer the line that a fault replaces."""


class Fault(NamedTuple):
    """What breaks when, in the function ``where``, ``right`` is
    replaced by ``wrong``.
    """

    name: str
    breaks: str
    where: str  # module.Class.method, or module.function
    right: str
    wrong: str
    also: "Fault | None" = None  # where it takes two lines

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """The engine with this fault. Raises OutdatedFaultError."""
        with contextlib.ExitStack() as stack:
            if self.also is not None:
                stack.enter_context(self.also.patched())
            module, *path, name = self.where.split(".")
            owner: Any = importlib.import_module(f"taskmanager.{module}")
            for step in path:
                owner = getattr(owner, step)
            stack.enter_context(
                mock.patch.object(
                    owner, name, self._changed(inspect.getattr_static(owner, name))
                )
            )
            yield

    def _changed(self, function: Any) -> Any:
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.right) != 1:
            raise OutdatedFaultError(
                f"{self.name} fits no longer: {self.where} has not exactly one {self.right!r}"
            )
        names: dict[str, Any] = {}
        code = compile(
            source.replace(self.right, self.wrong), f"<fault {self.name}>", "exec"
        )
        exec(code, sys.modules[function.__module__].__dict__, names)  # noqa: S102 - the engine's own text
        return names[function.__name__]


_ALL = (
    # The order and the ends of tasks
    Fault(
        "cancelled-keeps-slot",
        "a cancelled task stays in the queue",
        "manager.TaskManager.cancel",
        "self._queue.remove(task)",
        "pass",
    ),
    Fault(
        "no-priorities",
        "the queue ignores priorities",
        "manager.TaskManager.submit",
        "clock + HEAD_START[submission.priority]",
        "clock",
    ),
    Fault(
        "priorities-are-walls",
        "a low priority waits for all others",
        "manager.TaskManager.submit",
        "clock + HEAD_START[submission.priority]",
        "clock + 1000 * HEAD_START[submission.priority]",
    ),
    Fault(
        "last-in-first-out",
        "of two tasks with the same place, the later goes first",
        "manager.TaskManager.submit",
        "[submission.priority], number)",
        "[submission.priority], -number)",
    ),
    Fault(
        "full-queue-missed",
        "a submission to a full queue is an internal error, and leaves a record",
        "manager.TaskManager.submit",
        "self._queue.full()",
        "False",
    ),
    Fault(
        "worker-too-many",
        "one task more than WORKERS is processed",
        "workers.WorkerPool.run",
        "workers + 1",
        "workers + 2",
    ),
    Fault(
        "worker-too-few",
        "one worker fewer than WORKERS is started, where there are several",
        "workers.WorkerPool.run",
        "workers + 1",
        "workers + (self._settings.workers < 2)",
    ),
    Fault(
        "stubborn-handler-keeps-worker",
        "a handler that ignores its cancellation keeps its worker",
        "workers.WorkerPool._work",
        "self._interrupt(task, run)",
        "self._interrupt(task, run) or await asyncio.wait([run])",
    ),
    Fault(
        "crash-stays-processing",
        "a task whose handler crashes stays in process until its timeout",
        "workers.WorkerPool._run_handler",
        "except Exception as error",
        "except LookupError as error",
    ),
    Fault(
        "cancelled-error-missed",
        "a task whose handler raises CancelledError stays in process",
        "workers.WorkerPool._run_handler",
        "if not task.finished:",
        "if False:",
    ),
    Fault(
        "dead-worker-keeps-task",
        "the task of a worker that dies stays in process",
        "workers.WorkerPool._work",
        "if not task.finished:",
        "if False:",
    ),
    Fault(
        "last-end-wins",
        "a final status is replaced by a later one",
        "manager.TaskManager._change_status",
        "if not task.finished:",
        "if True:",
        Fault(
            "",
            "",
            "task.Task.change_status",
            "status not in TRANSITIONS[self.status]",
            "False",
        ),
    ),
    Fault(
        "timeout-from-submission",
        "TASK_TIMEOUT counts from the submission",
        "workers.WorkerPool._work",
        "loop.time() + self._settings.task_timeout",
        "task.status_since + self._settings.task_timeout",
    ),
    Fault(
        "stop-leaves-tasks",
        "a stop does not cancel what is not finished",
        "manager.TaskManager.begin_stop",
        "self.cancel(task.task_id)",
        "pass",
    ),
    Fault(
        "retried-at-once",
        "a loop that dies again and again is restarted after 1 s each time",
        "supervisor.Supervisor.keep_alive",
        "min(2 * pause, LONGEST_PAUSE)",
        "FIRST_PAUSE",
    ),
    # What clients see of a task
    Fault(
        "version-not-raised",
        "a start does not raise the version",
        "task.Task.change_status",
        "self.version += 1",
        "self.version += status in TERMINAL",
    ),
    Fault(
        "progress-lost",
        "a task that fails or is cancelled loses its progress",
        "task.Task.change_status",
        "else self.progress",
        "else 0",
    ),
    Fault(
        "progress-complete-too-early",
        "a task that fails at its end shows 100 %",
        "task.Task.report_progress",
        "min(percent, 99)",
        "percent",
    ),
    Fault(
        "position-counts-itself",
        "queue_position starts at 1",
        "manager.TaskManager.describe",
        "self._queue.position(task)",
        "self._queue.position(task) + 1",
    ),
    Fault(
        "estimate-drifts",
        "the expected time of a task that has left the queue is counted for ever",
        "pending.PendingQueue._get",
        "self.expected_seconds -= task.expected_seconds",
        "pass",
    ),
    Fault(
        "list-ignores-limit",
        "a list shows a whole page, whatever its limit",
        "api._stream",
        "page[:left]",
        "page",
    ),
    # Long polls
    Fault(
        "wake-up-lost",
        "who waits when a task starts is not woken",
        "task.Task.change_status",
        "if changed is not None:",
        "if changed is not None and status in TERMINAL:",
    ),
    Fault(
        "only-the-last-wakes",
        "of several who wait for a task only the last is woken",
        "task.Task.next_change",
        "self._changed or asyncio.Event()",
        "asyncio.Event()",
    ),
    Fault(
        "deadline-moves",
        "a long poll that wakes without news waits WAIT_TIMEOUT once more",
        "manager.TaskManager.wait",
        "while not task.news_since(seen) and clock() < deadline:",
        "while not task.news_since(seen) and (deadline := clock() + self.settings.wait_timeout):",
    ),
    Fault(
        "waiter-leaks",
        "a long poll whose client leaves is counted for ever",
        "manager.TaskManager.wait",
        "self._waiting -= 1",
        "self._waiting -= sys.exc_info()[0] is None",
    ),
    Fault(
        "disconnect-missed",
        "a long poll goes on when its client has left",
        "api._cancel_at_disconnect",
        "waiting.cancel()",
        "pass",
    ),
    # The records
    Fault(
        "retention-from-submission",
        "RETENTION counts from the submission",
        "cleanup.sweep",
        "store.finished[0].status_since",
        "store.finished[0].place[0] - 30",
    ),
    Fault(
        "cleanup-too-rare",
        "the cleanup comes at half the times",
        "cleanup.sweep_regularly",
        "asyncio.sleep(settings.cleanup_interval)",
        "asyncio.sleep(2 * settings.cleanup_interval)",
    ),
    Fault(
        "evicts-unfinished",
        "over MAX_TASKS the oldest task is forgotten, finished or not",
        "store.TaskStore.forget_oldest",
        "self.finished.popleft()",
        "self.by_id[next(iter(self.by_id))]",
    ),
    Fault(
        "evicts-the-newest",
        "over MAX_TASKS the task that finished last is forgotten",
        "store.TaskStore.forget_oldest",
        "self.finished.popleft()",
        "self.finished.pop()",
    ),
    Fault(
        "record-too-many",
        "one record more than MAX_TASKS is kept",
        "store.TaskStore.add",
        "len(self.by_id) >= self._max_tasks",
        "len(self.by_id) > self._max_tasks",
    ),
    # The rate limit
    Fault(
        "window-closed",
        "a request exactly one window after another still counts it",
        "ratelimit.SlidingWindow.hit",
        "while times and times[0] + window <= now",
        "while times and times[0] + window < now",
    ),
    Fault(
        "fixed-window",
        "the whole window starts anew when its first request leaves it",
        "ratelimit.SlidingWindow.hit",
        "times.popleft()",
        "times.clear()",
    ),
    Fault(
        "refused-are-counted",
        "a refused request counts",
        "ratelimit.SlidingWindow.hit",
        "if allowed := len(times) < self.limit:",
        "if (allowed := len(times) < self.limit) or True:",
    ),
    Fault(
        "limit-off-by-one",
        "a request more than RATE_LIMIT is accepted",
        "ratelimit.SlidingWindow.hit",
        "len(times) < self.limit",
        "len(times) <= self.limit",
    ),
    Fault(
        "retry-after-too-short",
        "who waits for Retry-After is a second too early",
        "ratelimit.SlidingWindow.hit",
        "self.limit - len(times), reset)",
        "self.limit - len(times), max(1, reset - 1))",
    ),
    Fault(
        "forgets-clients-too-early",
        "the cleanup forgets a client whose last requests still count",
        "ratelimit.SlidingWindow.forget_idle",
        "self._accepted[client][-1]",
        "self._accepted[client][0]",
    ),
    Fault(
        "forgets-the-wrong-client",
        "over MAX_CLIENTS the client that came first is forgotten, not the one idle for longest",
        "ratelimit.SlidingWindow.hit",
        "clients.move_to_end(client)",
        "pass",
    ),
    Fault(
        "clients-unbounded",
        "more clients than MAX_CLIENTS are remembered",
        "ratelimit.SlidingWindow.hit",
        "len(clients) > self._max_clients",
        "False",
    ),
)
FAULTS = {fault.name: fault for fault in _ALL}
