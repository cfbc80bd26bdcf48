"""TaskStore: every task by its id, in the order submitted and in the
order finished.

Rules: a reader that pauses never holds an iterator over something that
changes, nor more than a page. Forgetting starts with what finished
first and reads nothing else. Notebook: 08-streaming.
"""

from collections import deque
from collections.abc import Iterator

from taskmanager.task import Task, TaskStatus

PAGE = 128  # tasks a page; a listing holds two: one that is being sent, and the next


class TaskStore:
    """The records. All but reading pages takes the same time, however
    many are kept.
    """

    def __init__(self, max_tasks: int) -> None:
        self.next_number, self._max_tasks = 0, max_tasks
        self.by_id: dict[str, Task] = {}
        self.by_key: dict[str | None, Task] = {}  # of those that came with a key
        self.finished: deque[Task] = deque()  # in the order finished
        # Task number n is on page n // PAGE: a reader's page number
        # stays good while tasks come and go.
        self._pages: dict[int, dict[int, Task]] = {}

    @property
    def full(self) -> bool:
        return len(self.by_id) >= self._max_tasks and not self.finished

    def add(self, task: Task) -> None:
        """Keep a new task; over the limit, the task that finished first
        is forgotten.
        """
        if len(self.by_id) >= self._max_tasks:
            self.forget_oldest()
        self.next_number = task.number + 1
        self.by_id[task.task_id] = task
        if task.key is not None:
            self.by_key[task.key] = task
        self._pages.setdefault(task.number // PAGE, {})[task.number] = task

    def forget_oldest(self) -> None:
        """Remove the task that finished first. Raises IndexError where
        none is finished.
        """
        task = self.finished.popleft()
        del self.by_id[task.task_id]
        self.by_key.pop(task.key, None)
        page = self._pages[task.number // PAGE]
        del page[task.number]
        if not page:
            del self._pages[task.number // PAGE]

    def pages(self, status: TaskStatus | None = None) -> Iterator[list[Task]]:
        """The tasks submitted until now, in that order, in lists of up
        to PAGE, each as it is when it is reached.
        """
        end = self.next_number
        numbers = range(next(iter(self._pages), 0), -(-end // PAGE))
        pages = (self._pages.get(number, {}).values() for number in numbers)
        return (
            [
                task
                for task in page
                if task.number < end and status in (None, task.status)
            ]
            for page in pages
        )
