"""The queue is bounded and ordered by place.

What is cancelled leaves it at once.
"""

import asyncio
import random

import pytest

from taskmanager.pending import PendingQueue
from taskmanager.task import Task
from tests.helpers import new_task


def test_it_is_an_asyncio_queue() -> None:
    assert issubclass(PendingQueue, asyncio.Queue)


def test_the_smallest_place_comes_first_and_ties_in_order_of_number() -> None:
    queue = PendingQueue()
    places = [
        30.0,
        0.0,
        60.0,
        30.0,
        0.0,
    ]
    for number, place in enumerate(places):
        queue.put_nowait(new_task(number, place))
    assert [queue.get_nowait().number for _ in places] == [1, 4, 0, 3, 2]


def test_it_is_full_at_its_size_and_a_removal_frees_the_slot() -> None:
    queue = PendingQueue(2)
    first, second, third = (new_task(number) for number in range(3))
    queue.put_nowait(first)
    queue.put_nowait(second)
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(third)

    queue.remove(first)
    queue.put_nowait(third)
    assert queue.get_nowait() is second


@pytest.mark.parametrize("leaving", range(5))
def test_whoever_leaves_the_others_keep_their_order(leaving: int) -> None:
    queue = PendingQueue()
    tasks = [new_task(number) for number in range(5)]
    for task in tasks:
        queue.put_nowait(task)

    queue.remove(tasks.pop(leaving))
    assert [queue.position(task) for task in tasks] == [0, 1, 2, 3]
    assert [queue.get_nowait() for _ in tasks] == tasks


async def test_a_worker_woken_for_a_task_that_left_waits_for_the_next() -> None:
    queue = PendingQueue()
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    # It leaves before the worker runs.
    gone = new_task(0)
    queue.put_nowait(gone)
    queue.remove(gone)
    await asyncio.sleep(0)
    assert not worker.done()

    queue.put_nowait(new_task(1))
    assert (await worker).number == 1


async def test_join_does_not_wait_for_what_was_removed() -> None:
    queue = PendingQueue()
    task = new_task()
    queue.put_nowait(task)
    joined = asyncio.create_task(queue.join())
    await asyncio.sleep(0)
    assert not joined.done()

    queue.remove(task)
    await asyncio.wait_for(joined, 10)


async def test_waiting_workers_are_served_in_turn() -> None:
    queue = PendingQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    for number in range(2):
        queue.put_nowait(new_task(number))
    assert [(await worker).number for worker in workers] == [0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_a_sorted_list(seed: int) -> None:
    random_ = random.Random(seed)
    queue = PendingQueue()
    oracle: list[Task] = []
    log: list[bool] = []

    for number in range(300):
        match random_.choice(["put", "put", "get", "remove"]):
            case "put":
                head_start = random_.choice([0.0, 30.0, 60.0])
                task = new_task(number, number // 10 + head_start)
                queue.put_nowait(task)
                oracle.append(task)
            case "get" if oracle:
                first = min(oracle, key=lambda task: task.place)
                oracle.remove(first)
                log.append(queue.get_nowait() is first)
            case "remove" if oracle:
                task = random_.choice(oracle)
                oracle.remove(task)
                queue.remove(task)

        in_order = sorted(oracle, key=lambda task: task.place)
        positions = [queue.position(task) for task in in_order]
        log.append(positions == list(range(len(oracle))))
        log.append(queue.qsize() == len(oracle))
        log.append(abs(queue.expected_seconds - 5 * len(oracle)) < 1e-6)

    assert all(log)


def test_a_task_that_does_not_wait_has_no_position() -> None:
    queue = PendingQueue()
    queue.put_nowait(new_task(1))
    for stranger in (new_task(0), new_task(1), new_task(2)):
        with pytest.raises(ValueError, match="is not waiting"):
            queue.position(stranger)
