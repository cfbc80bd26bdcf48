"""Wrong answers to 01-event-loop.

Each has words of the complaint that it must get.
"""

import asyncio

WRONG: dict[str, list[tuple[object, str]]] = {
    "moments": [
        ([5, 7, 10], "for the first time at 0 s"),
        ([0, 5, 7, 10, 10], "each moment once"),
        ([0, 5, 7, 15], "end at 5 s and at 10 s"),
        ([0, 5, 7], "gets up at 10 s"),
        ([0, 5, 10], "add up the sleeps"),
    ]
}


async def one_after_the_other(create_task, *coroutines):
    return [await each for each in coroutines]


async def a_task_at_a_time(create_task, *coroutines):
    return [await create_task(each) for each in coroutines]


async def returns_tasks(create_task, *coroutines):
    return [create_task(each) for each in coroutines]


async def in_the_order_of_their_ends(create_task, *coroutines):
    tasks = [create_task(each) for each in coroutines]
    return [await each for each in asyncio.as_completed(tasks)]


async def forgets_the_results(create_task, *coroutines):
    for task in [create_task(each) for each in coroutines]:
        await task


async def forgets_one(create_task, *coroutines):
    first, *rest = coroutines
    first.close()
    return [await each for each in map(create_task, rest)]


WRONG["gather"] = [
    (one_after_the_other, "one after the other"),
    (a_task_at_a_time, "one after the other"),
    (returns_tasks, "returns Tasks"),
    (in_the_order_of_their_ends, "the order is that"),
    (forgets_the_results, "returns None"),
    (forgets_one, "begins 2 of three"),
]
