"""PendingQueue: the tasks that wait for a worker; bounded, and in order
of their place.

Rule: a cancelled task leaves at once and gives its slot back. A
tombstone that stayed until a worker reached it would make an empty
queue answer "full". Notebook: 04-backpressure-and-priorities.
"""

import asyncio
from bisect import bisect_left, insort
from operator import attrgetter

from taskmanager.task import Task
from taskmanager.task_types import Priority

# Seconds added to the time of submission; the smallest sum goes first.
# So "high" is up to 60 s ahead of "low", and yet nothing starves, since
# whatever has waited for longer than that goes before it.
HEAD_START: dict[Priority, float] = {
    "high": 0.0,
    "normal": 30.0,
    "low": 60.0,
}

_place = attrgetter("place")


class PendingQueue(asyncio.Queue[Task]):
    """An asyncio.Queue whose tasks are kept sorted by ``task.place``.

    Why a subclass: waiting, waking and the bound are asyncio.Queue's;
    only the container differs, and ``_init``, ``_put`` and ``_get`` are
    what its source marks as overridable for that. Why a sorted list,
    not a heap: a task can leave from the middle, and its queue position
    is its index.
    """

    _queue: list[Task]

    def _init(self, maxsize: int) -> None:
        self._queue = []
        # Of all that wait, together.
        self.expected_seconds = 0.0

    def _put(self, item: Task) -> None:
        insort(self._queue, item, key=_place)
        self.expected_seconds += item.expected_seconds

    def _get(self) -> Task:
        return self._take(0)

    def _take(self, index: int) -> Task:
        task = self._queue.pop(index)
        self.expected_seconds -= task.expected_seconds
        return task

    def first(self, most: int) -> list[Task]:
        """The tasks that go next, in order, and ``most`` at most."""
        return self._queue[:most]

    def remove(self, task: Task) -> None:
        """Take a waiting task out.

        Raises ValueError if it is not waiting.
        """
        self._take(self.position(task))
        # Putting it in counted it as unfinished, and nobody will get
        # it.
        self.task_done()

    def position(self, task: Task) -> int:
        """How many tasks would run before this one if no other came.

        Raises ValueError if it is not waiting.
        """
        index = bisect_left(self._queue, task.place, key=_place)
        if index == len(self._queue) or self._queue[index] is not task:
            raise ValueError(f"task {task.task_id} is not waiting")
        return index
