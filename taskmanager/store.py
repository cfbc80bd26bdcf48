"""TaskStore: every task by its id, in the order submitted and in the
order finished.

Rules: a reader that pauses never holds an iterator over something that
changes, nor more than a page. Forgetting starts with what finished
first and reads nothing else. Notebook: 10-streaming.
"""

from collections import deque
from collections.abc import Iterator

from taskmanager.task import Task, TaskStatus

# Tasks on a page; a listing holds two: one that is being sent, and the
# next.
PAGE = 128


class TaskStore:
    """The records.

    All but reading pages takes the same time, however many are kept.
    """

    def __init__(self, max_tasks: int) -> None:
        self._max_tasks = max_tasks
        self.next_number = 0
        self.by_id: dict[str, Task] = {}
        # Those that were submitted with an Idempotency-Key. None is
        # looked up, too, and never found.
        self.by_key: dict[str | None, Task] = {}
        # In the order finished.
        self.finished: deque[Task] = deque()
        # Task number n is on page n // PAGE: a reader's page number
        # stays good while tasks come and go.
        self._pages: dict[int, dict[int, Task]] = {}

    @property
    def has_room(self) -> bool:
        """Whether a task can be added.

        For it, a finished one may have to go.
        """
        return len(self.by_id) < self._max_tasks or bool(self.finished)

    def add(self, task: Task) -> None:
        """Keep a new task.

        Over the limit, the one that finished first is forgotten.
        """
        if len(self.by_id) >= self._max_tasks:
            self.forget_oldest()

        self.next_number = task.number + 1
        self.by_id[task.task_id] = task
        if task.idempotency_key is not None:
            self.by_key[task.idempotency_key] = task
        page = self._pages.setdefault(task.number // PAGE, {})
        page[task.number] = task

    def forget_oldest(self) -> None:
        """Remove the task that finished first.

        Raises IndexError where none is finished.
        """
        task = self.finished.popleft()
        del self.by_id[task.task_id]
        self.by_key.pop(task.idempotency_key, None)

        number = task.number // PAGE
        page = self._pages[number]
        del page[task.number]
        if not page:
            del self._pages[number]

    def pages(self, status: TaskStatus | None = None) -> Iterator[list[Task]]:
        """The tasks submitted until now, in that order, page by page.

        A page has PAGE tasks at most. With ``status``, only those that
        have it when their page is reached.
        """
        return self._read_pages(self.next_number, status)

    def _read_pages(self, end: int, status: TaskStatus | None) -> Iterator[list[Task]]:
        first = next(iter(self._pages), 0)
        for number in range(first, end // PAGE + 1):
            page = self._pages.get(number, {})
            yield [
                task
                for task in page.values()
                if task.number < end and (status is None or task.status is status)
            ]
