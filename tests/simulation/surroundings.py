"""What is put around the engine for a day.

Its log is heard, its handlers have bad habits, and its loops can die.

Rule: all of it is patched in from outside, around whatever the engine
has at that moment, and taken out again.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

from taskmanager import cleanup, task_types
from taskmanager.pending import PendingQueue
from taskmanager.task import Task
from taskmanager.workers import WorkerPool
from tests.simulation.model import Model
from tests.simulation.work import with_habits


class Sabotage:
    """Makes a loop die when it next does something."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._doomed: Counter[str] = Counter()

    def doom(self, name: str, times: int) -> None:
        """Let the next loops of a name die: "worker" or "cleanup"."""
        self._doomed[name] += times
        left = self._doomed[name]
        self._model.journal.note(f"    sabotage: the {name} is to die, {left} times")

    def strike(self, name: str, at_once: bool = False) -> None:
        """Called by a loop: die, if that is planned."""
        if not at_once:
            if not self._doomed[name]:
                return
            self._doomed[name] -= 1

        self._model.loops.excused += 1
        raise RuntimeError("sabotage")


@contextlib.contextmanager
def surroundings(model: Model, sabotage: Sabotage) -> Iterator[None]:
    """Put these around the engine."""
    get = PendingQueue._get
    sweep = cleanup.sweep
    run_handler = WorkerPool._run_handler

    def mortal_get(queue: PendingQueue) -> Task:
        sabotage.strike("worker")
        return get(queue)

    def mortal_sweep(*args: Any) -> bool:
        sabotage.strike("cleanup")
        return sweep(*args)

    def mortal_run_handler(pool: WorkerPool, task: Task) -> Any:
        if getattr(task.parameters, "title", None) == "kills its worker":
            sabotage.strike("worker", at_once=True)
        return run_handler(pool, task)

    with (
        _heard(logging.getLogger("taskmanager"), _Watcher(model)),
        mock.patch.object(task_types, "run", with_habits(task_types.run)),
        mock.patch.object(PendingQueue, "_get", mortal_get),
        mock.patch.object(cleanup, "sweep", mortal_sweep),
        mock.patch.object(WorkerPool, "_run_handler", mortal_run_handler),
    ):
        yield


class _Watcher(logging.Handler):
    """Tells the model what the engine logs."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def emit(self, record: logging.LogRecord) -> None:
        fields = record.args if isinstance(record.args, dict) else {}
        with self._model.noticing():
            self._model.hear(record.msg, fields)


@contextlib.contextmanager
def _heard(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    """Let the handler alone hear all that the logger says."""
    level = logger.level
    propagate = logger.propagate

    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
