"""Small faults to patch into the engine.

The simulation has to find each of them.

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
    """The engine with ``wrong`` where it has ``right``."""

    name: str
    # What goes wrong then.
    breaks: str
    # It reads module.Class.method, or module.function.
    where: str
    right: str
    wrong: str
    # Another place, where it takes two.
    also: "Fault | None" = None

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """The engine with this fault. Raises OutdatedFaultError."""
        module, *path, name = self.where.split(".")
        owner: Any = importlib.import_module(f"taskmanager.{module}")
        for step in path:
            owner = getattr(owner, step)

        right = inspect.getattr_static(owner, name)
        also = contextlib.nullcontext() if self.also is None else self.also.patched()
        with also, mock.patch.object(owner, name, self._changed(right)):
            yield

    def _changed(self, function: Any) -> Any:
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.right) != 1:
            raise OutdatedFaultError(
                f"{self.name} fits no longer: "
                f"{self.where} has not exactly one {self.right!r}"
            )

        wrong = source.replace(self.right, self.wrong)
        code = compile(wrong, f"<fault {self.name}>", "exec")
        names: dict[str, Any] = {}
        # It is the engine's own text.
        exec(code, sys.modules[function.__module__].__dict__, names)  # noqa: S102
        return names[function.__name__]


_ALL = (
    # The order and the ends of tasks
    Fault(
        name="cancelled-keeps-slot",
        breaks="a cancelled task stays in the queue",
        where="manager.TaskManager.cancel",
        right="self._queue.remove(task)",
        wrong="pass",
    ),
    Fault(
        name="no-priorities",
        breaks="the queue ignores priorities",
        where="manager.TaskManager._new_task",
        right="now + HEAD_START[submission.priority]",
        wrong="now",
    ),
    Fault(
        name="priorities-are-walls",
        breaks="a low priority waits for all others",
        where="manager.TaskManager._new_task",
        right="now + HEAD_START[submission.priority]",
        wrong="now + 1000 * HEAD_START[submission.priority]",
    ),
    Fault(
        name="last-in-first-out",
        breaks="of two tasks with the same place, the later goes first",
        where="manager.TaskManager._new_task",
        right="[submission.priority], number)",
        wrong="[submission.priority], -number)",
    ),
    Fault(
        name="full-queue-missed",
        breaks="a submission to a full queue is an internal error, and leaves a record",
        where="manager.TaskManager.submit",
        right="self._queue.full()",
        wrong="False",
    ),
    Fault(
        name="worker-too-many",
        breaks="one task more than WORKERS is processed",
        where="workers.WorkerPool.run",
        right="workers + 1",
        wrong="workers + 2",
    ),
    Fault(
        name="worker-too-few",
        breaks="one worker fewer than WORKERS is started, where there are several",
        where="workers.WorkerPool.run",
        right="workers + 1",
        wrong="workers + (self._settings.workers < 2)",
    ),
    Fault(
        name="stubborn-handler-keeps-worker",
        breaks="a handler that ignores its cancellation keeps its worker",
        where="workers.WorkerPool._work",
        right="self._interrupt(task, handler)",
        wrong="self._interrupt(task, handler) or await asyncio.wait([handler])",
    ),
    Fault(
        name="reason-is-lost",
        breaks="a task that fails for a reason shows an internal error",
        where="workers.WorkerPool._run_handler",
        right="except (Exception, SystemExit) as error",
        wrong="except LookupError as error",
    ),
    Fault(
        name="cancelled-error-missed",
        breaks="a task whose handler raises CancelledError stays in process",
        where="workers.WorkerPool._run_handler",
        right="if not task.finished:",
        wrong="if False:",
    ),
    Fault(
        name="dead-worker-keeps-task",
        breaks="the task of a worker that dies stays in process",
        where="workers.WorkerPool._work",
        right="if not task.finished:\n                # Something",
        wrong="if False:\n                # Something",
    ),
    Fault(
        name="last-end-wins",
        breaks="a terminal status is replaced by a later one",
        where="manager.TaskManager._change_status",
        right="if task.finished:\n        text",
        wrong="if False:\n        text",
        also=Fault(
            name="last-end-wins",
            breaks="the same",
            where="task.Task.change_status",
            right="status not in TRANSITIONS[self.status]",
            wrong="False",
        ),
    ),
    Fault(
        name="timeout-from-submission",
        breaks="TASK_TIMEOUT counts from the submission",
        where="workers.WorkerPool._work",
        right="loop.time() + self._settings.task_timeout",
        wrong="task.status_since + self._settings.task_timeout",
    ),
    Fault(
        name="stop-leaves-tasks",
        breaks="a stop does not cancel what is not finished",
        where="manager.TaskManager.begin_stop",
        right="self.cancel(task.task_id)",
        wrong="pass",
    ),
    Fault(
        name="retried-at-once",
        breaks="a loop that dies again and again is restarted after 1 s each time",
        where="supervisor._KeptAlive.at_end",
        right="min(2 * self.pause, LONGEST_PAUSE)",
        wrong="FIRST_PAUSE",
    ),
    # What clients see of a task
    Fault(
        name="version-not-raised",
        breaks="a start does not raise the version",
        where="task.Task.change_status",
        right="self.version += 1",
        wrong="self.version += status in TERMINAL",
    ),
    Fault(
        name="progress-lost",
        breaks="a task that fails or is cancelled loses its progress",
        where="task.Task.change_status",
        right="self.finished_at = at",
        wrong="self.finished_at = at; self.progress = 0",
    ),
    Fault(
        name="progress-complete-too-early",
        breaks="a task that fails at its end shows 100 %",
        where="task.Task.report_progress",
        right="min(percent, 99)",
        wrong="percent",
    ),
    Fault(
        name="position-counts-itself",
        breaks="queue_position starts at 1",
        where="manager.TaskManager.describe",
        right="self._queue.position(task)",
        wrong="self._queue.position(task) + 1",
    ),
    Fault(
        name="estimate-drifts",
        breaks="the time of a task that has left the queue is counted for ever",
        where="pending.PendingQueue._take",
        right="self.expected_seconds -= task.expected_seconds",
        wrong="pass",
    ),
    Fault(
        name="list-ignores-limit",
        breaks="a list shows a whole page, whatever its limit",
        where="listing.slices",
        right="page[:left]",
        wrong="page",
    ),
    # Long polls
    Fault(
        name="wake-up-lost",
        breaks="who waits when a task starts is not woken",
        where="task.Task.change_status",
        right="if changed is not None:",
        wrong="if changed is not None and status in TERMINAL:",
    ),
    Fault(
        name="only-the-last-wakes",
        breaks="of several who wait for a task only the last is woken",
        where="task.Task.next_change",
        right="if self._changed is None:",
        wrong="if True:",
    ),
    Fault(
        name="deadline-moves",
        breaks="a long poll that wakes without news waits WAIT_TIMEOUT once more",
        where="manager.TaskManager.wait",
        right="timeout=deadline - loop.time(),",
        wrong="timeout=self.settings.wait_timeout,",
    ),
    Fault(
        name="waiter-leaks",
        breaks="a long poll whose client leaves is counted for ever",
        where="manager.TaskManager.wait",
        right="self._waiting -= 1",
        wrong="self._waiting -= task.changed_since(seen) or loop.time() >= deadline",
    ),
    Fault(
        name="disconnect-missed",
        breaks="a long poll goes on when its client has left",
        where="api._disconnected",
        right='while message["type"] != "http.disconnect":',
        wrong="while not await asyncio.Event().wait():",
    ),
    # The records
    Fault(
        name="retention-from-submission",
        breaks="RETENTION counts from the submission",
        where="cleanup.sweep",
        right="status_since + retention",
        wrong="place[0] - 30 + retention",
    ),
    Fault(
        name="cleanup-too-rare",
        breaks="the cleanup comes at half the times",
        where="cleanup.sweep_tasks",
        right="asyncio.sleep(settings.cleanup_interval)",
        wrong="asyncio.sleep(2 * settings.cleanup_interval)",
    ),
    Fault(
        name="evicts-unfinished",
        breaks="over MAX_TASKS the oldest task is forgotten, finished or not",
        where="store.TaskStore.forget_oldest",
        right="self.finished.popleft()",
        wrong="self.by_id[next(iter(self.by_id))]",
    ),
    Fault(
        name="evicts-the-newest",
        breaks="over MAX_TASKS the task that finished last is forgotten",
        where="store.TaskStore.forget_oldest",
        right="self.finished.popleft()",
        wrong="self.finished.pop()",
    ),
    Fault(
        name="record-too-many",
        breaks="one record more than MAX_TASKS is kept",
        where="store.TaskStore.add",
        right="len(self.by_id) >= self._max_tasks",
        wrong="len(self.by_id) > self._max_tasks",
    ),
    # The rate limit
    Fault(
        name="window-closed",
        breaks="a request exactly one window after another still counts it",
        where="ratelimit.SlidingWindow.hit",
        right="times[0] + self.window <= now",
        wrong="times[0] + self.window < now",
    ),
    Fault(
        name="fixed-window",
        breaks="the whole window starts anew when its first request leaves it",
        where="ratelimit.SlidingWindow.hit",
        right="times.popleft()",
        wrong="times.clear()",
    ),
    Fault(
        name="refused-are-counted",
        breaks="a refused request counts",
        where="ratelimit.SlidingWindow.hit",
        right="if allowed:",
        wrong="if True:",
    ),
    Fault(
        name="limit-off-by-one",
        breaks="a request more than RATE_LIMIT is accepted",
        where="ratelimit.SlidingWindow.hit",
        right="len(times) < self.limit",
        wrong="len(times) <= self.limit",
    ),
    Fault(
        name="retry-after-too-short",
        breaks="who waits for Retry-After is a second too early",
        where="ratelimit.SlidingWindow.hit",
        right="return Decision(allowed, self.limit - len(times), reset)",
        wrong="return Decision(allowed, self.limit - len(times), max(1, reset - 1))",
    ),
    Fault(
        name="forgets-clients-too-early",
        breaks="the cleanup forgets a client whose last requests still count",
        where="ratelimit.SlidingWindow.forget_idle",
        right="times[-1] + self.window > now",
        wrong="times[0] + self.window > now",
    ),
    Fault(
        name="forgets-the-wrong-client",
        breaks="over MAX_CLIENTS the client that came first is forgotten, "
        "not the one idle for longest",
        where="ratelimit.SlidingWindow.hit",
        right="self._accepted.move_to_end(client)",
        wrong="pass",
    ),
    Fault(
        name="clients-unbounded",
        breaks="more clients than MAX_CLIENTS are remembered",
        where="ratelimit.SlidingWindow.hit",
        right="len(self._accepted) > self._max_clients",
        wrong="False",
    ),
)
FAULTS = {fault.name: fault for fault in _ALL}
