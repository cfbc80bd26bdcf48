"""The state machine of a task."""

import asyncio
import uuid
from itertools import product

import pytest

from taskmanager.errors import IllegalTransitionError
from taskmanager.task import (
    TERMINAL,
    TRANSITIONS,
    Task,
    TaskStatus,
    new_task_id,
    timestamp,
)
from tests.helpers import new_task

LEGAL = {
    ("queued", "processing"),
    ("queued", "cancelled"),
    ("processing", "completed"),
    ("processing", "failed"),
    ("processing", "cancelled"),
}
ROUTES = {
    "queued": [],
    "processing": ["processing"],
    "completed": ["processing", "completed"],
    "failed": ["processing", "failed"],
    "cancelled": ["cancelled"],
}


def task_in(status: str) -> Task:
    task = new_task()
    for step in ROUTES[status]:
        task.change_status(TaskStatus(step), "2026-01-01T00:00:01.000Z", 1.0)
    return task


def test_the_table_is_the_one_of_the_api() -> None:
    assert {
        (old.value, new.value)
        for old, following in TRANSITIONS.items()
        for new in following
    } == LEGAL
    assert {status.value for status in TERMINAL} == {"completed", "failed", "cancelled"}


@pytest.mark.parametrize(("old", "new"), sorted(LEGAL))
def test_a_legal_change_raises_the_version_by_one(old: str, new: str) -> None:
    task = task_in(old)
    version = task.version

    task.change_status(TaskStatus(new), "2026-01-01T00:00:02.000Z", 2.0)
    assert task.status.value == new
    assert task.version == version + 1
    assert task.status_since == 2.0


@pytest.mark.parametrize(("old", "new"), sorted(set(product(ROUTES, ROUTES)) - LEGAL))
def test_an_illegal_change_changes_nothing(old: str, new: str) -> None:
    task = task_in(old)
    before = task.to_dict(None)
    clock = task.status_since
    change = task.next_change()

    with pytest.raises(IllegalTransitionError, match=f"{old} -> {new}"):
        task.change_status(
            TaskStatus(new),
            "2026-01-01T00:00:02.000Z",
            2.0,
            {"sum": 1},
            {"code": "x", "message": "x"},
        )

    assert task.to_dict(None) == before
    assert task.status_since == clock
    # Nobody is woken for nothing.
    assert not change.is_set()


def test_times_result_and_error_are_set_when_they_become_known() -> None:
    task = task_in("processing")
    assert task.started_at == "2026-01-01T00:00:01.000Z"
    assert task.finished_at is None

    task.change_status(
        TaskStatus.COMPLETED, "2026-01-01T00:00:02.000Z", 2.0, {"sum": 1}
    )
    assert task.finished_at == "2026-01-01T00:00:02.000Z"
    assert task.result == {"sum": 1}
    assert task.error is None


def test_a_failed_task_has_an_error_and_no_result() -> None:
    task = task_in("processing")
    error = {"code": "timeout", "message": "Too slow."}
    task.change_status(TaskStatus.FAILED, "2026-01-01T00:00:02.000Z", 2.0, error=error)
    assert task.result is None
    assert task.error == error


def test_a_task_cancelled_in_the_queue_was_never_started() -> None:
    task = task_in("cancelled")
    assert task.started_at is None
    assert task.finished_at == "2026-01-01T00:00:01.000Z"


def test_progress_never_goes_back_and_is_100_exactly_when_completed() -> None:
    task = new_task()
    task.report_progress(50)
    # Nothing processes it yet.
    assert task.progress == 0

    task.change_status(TaskStatus.PROCESSING, "", 0.0)
    seen = []
    for percent in (20, 10, 100, 0):
        task.report_progress(percent)
        seen.append(task.progress)

    assert seen == [20, 20, 99, 99]

    task.change_status(TaskStatus.COMPLETED, "", 0.0)
    assert task.progress == 100


@pytest.mark.parametrize("end", [TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_another_end_keeps_the_last_progress(end: TaskStatus) -> None:
    task = task_in("processing")
    task.report_progress(40)
    task.change_status(end, "", 0.0)
    task.report_progress(80)
    assert task.progress == 40


@pytest.mark.parametrize("status", list(TaskStatus))
def test_progress_is_100_only_when_completed(status: TaskStatus) -> None:
    task = task_in(status.value)
    task.report_progress(100)
    assert (task.progress == 100) == (status is TaskStatus.COMPLETED)


def test_progress_is_no_change_of_status() -> None:
    task = task_in("processing")
    version = task.version
    change = task.next_change()

    task.report_progress(50)
    assert task.version == version
    assert not change.is_set()


async def test_every_waiter_of_a_change_wakes_and_the_next_one_waits_anew() -> None:
    task = new_task()
    waiters = [asyncio.create_task(task.next_change().wait()) for _ in range(3)]
    await asyncio.sleep(0)

    task.change_status(TaskStatus.PROCESSING, "", 0.0)
    # The three have not run yet: nobody may take their wake-up away.
    assert not task.next_change().is_set()
    assert await asyncio.gather(*waiters) == [True, True, True]


@pytest.mark.parametrize(("seen", "news"), [(0, True), (1, False), (2, False)])
def test_news_is_a_higher_version(seen: int, news: bool) -> None:
    assert new_task().changed_since(seen) is news


def test_a_finished_task_is_always_news() -> None:
    assert task_in("cancelled").changed_since(99)


def test_an_id_is_a_uuid_of_version_4_and_no_other_task_has_it() -> None:
    ids = [new_task_id() for _ in range(100)]
    assert len(set(ids)) == 100

    for text in ids:
        task_id = uuid.UUID(text)
        assert str(task_id) == text
        assert task_id.version == 4
        assert task_id.variant == uuid.RFC_4122


def test_timestamps_are_utc_with_milliseconds() -> None:
    assert timestamp(0.999) == "1970-01-01T00:00:00.999Z"
    assert timestamp(1767225600.25) == "2026-01-01T00:00:00.250Z"
