"""The records are read in pages while they change.

They are forgotten from the one that finished first.
"""

import random

import pytest

from taskmanager.store import PAGE, TaskStore
from taskmanager.task import Task, TaskStatus
from tests.helpers import new_task


def filled(count: int, max_tasks: int = 10_000) -> tuple[TaskStore, list[Task]]:
    store = TaskStore(max_tasks)
    tasks = [new_task(number) for number in range(count)]
    for task in tasks:
        store.add(task)

    return store, tasks


def finish(store: TaskStore, task: Task) -> None:
    task.change_status(TaskStatus.CANCELLED, "", 0.0)
    store.finished.append(task)


def numbers(store: TaskStore, status: TaskStatus | None = None) -> list[int]:
    return [task.number for page in store.pages(status) for task in page]


def test_tasks_are_listed_in_the_order_submitted() -> None:
    store, _ = filled(3 * PAGE + 1)
    assert numbers(store) == list(range(3 * PAGE + 1))
    assert max(len(page) for page in store.pages()) == PAGE


def test_a_listing_survives_what_comes_and_goes_between_two_pages() -> None:
    store, tasks = filled(2 * PAGE)
    pages = store.pages()
    listed = [task.number for task in next(pages)]

    store.add(new_task(2 * PAGE))
    for task in (*tasks[: PAGE // 2], tasks[-1]):
        finish(store, task)
        store.forget_oldest()

    for page in pages:
        listed += [task.number for task in page]
    assert listed == list(range(2 * PAGE - 1))


def test_what_is_submitted_after_the_listing_began_is_left_out() -> None:
    store, _ = filled(1)
    pages = store.pages()
    store.add(new_task(1))
    assert [task.number for page in pages for task in page] == [0]


def test_a_filter_shows_the_status_that_a_task_has_when_its_page_is_read() -> None:
    store, tasks = filled(4)
    tasks[1].change_status(TaskStatus.PROCESSING, "", 0.0)
    finish(store, tasks[2])
    assert numbers(store, TaskStatus.QUEUED) == [0, 3]
    assert numbers(store, TaskStatus.PROCESSING) == [1]
    assert numbers(store, TaskStatus.CANCELLED) == [2]


@pytest.mark.parametrize("status", [None, TaskStatus.QUEUED])
@pytest.mark.parametrize("seed", range(10))
def test_a_listing_has_each_task_that_was_there_from_its_begin_to_its_end(
    seed: int, status: TaskStatus | None
) -> None:
    random_ = random.Random(seed)
    store, tasks = filled(5 * PAGE)
    begun = set(range(5 * PAGE))
    listed: list[int] = []

    for page in store.pages(status):
        listed += [task.number for task in page]
        for _ in range(100):
            store.add(new_task(store.next_number))
            task = random_.choice(tasks)
            if not task.finished:
                finish(store, task)
            if store.finished and random_.random() < 0.5:
                store.forget_oldest()

    stayed = {
        task.number
        for task in tasks
        if task.task_id in store.by_id and status in (None, task.status)
    }
    # They are in order, and none is there twice.
    assert listed == sorted(set(listed))
    assert stayed <= set(listed) <= begun


def test_over_the_limit_those_that_finished_first_go_first() -> None:
    store, tasks = filled(3, max_tasks=3)
    finish(store, tasks[2])
    finish(store, tasks[0])
    store.add(new_task(3))
    assert numbers(store) == [0, 1, 3]

    store.add(new_task(4))
    assert numbers(store) == [1, 3, 4]
    assert not store.has_room

    # Nothing is finished: room is not made from the unfinished.
    with pytest.raises(IndexError):
        store.add(new_task(5))


def test_a_store_with_a_finished_task_is_not_full() -> None:
    store, tasks = filled(1, max_tasks=1)
    assert not store.has_room
    finish(store, tasks[0])
    assert store.has_room


def test_a_forgotten_task_is_gone_from_everywhere() -> None:
    store, tasks = filled(1)
    finish(store, tasks[0])
    store.forget_oldest()
    assert store.by_id == {}
    assert not store.finished
    assert numbers(store) == []
    with pytest.raises(IndexError):
        store.forget_oldest()
