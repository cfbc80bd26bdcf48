"""Wrong answers to 01-event-loop.

Each has words of the complaint that it must get.
"""

import asyncio

WRONG: dict[str, list[tuple[object, str]]] = {
    "ends": [
        (4, "give both numbers, like (3, 5)"),
        ((..., 7), "in place of the dots"),
        ((7, 7), "does not wait for it"),
        ((3, 7), "has yet to await slow"),
        ((5, 7), "runs from 0 s"),
        ((4, 5), "begins after that"),
        ((4, 4), "begins after that"),
        ((4, 6), "when that of 1 s has ended"),
        ((4, 3), "where the one before has ended"),
    ]
}


async def one_by_one(*coroutines):
    return [await coroutine for coroutine in coroutines]


async def begins_late(*coroutines):
    # A generator expression: each task is begun when it is awaited.
    tasks = (asyncio.create_task(coroutine) for coroutine in coroutines)
    return [await task for task in tasks]


async def returns_tasks(*coroutines):
    return [asyncio.create_task(coroutine) for coroutine in coroutines]


async def waits_and_returns_tasks(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    for task in tasks:
        await task
    return tasks


async def returns_nothing(*coroutines):
    for task in [asyncio.create_task(coroutine) for coroutine in coroutines]:
        await task


async def does_nothing(*coroutines):
    return []


async def in_the_order_of_their_ends(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    return [await task for task in asyncio.as_completed(tasks)]


async def only_the_first(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    return [await tasks[0]]


async def does_not_wait(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in tasks]


async def returns_a_set(*coroutines):
    done, _ = await asyncio.wait([asyncio.create_task(each) for each in coroutines])
    return done


async def sleeps_long_enough(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(5)
    return [task.result() for task in tasks]


async def forgets_to_await(*coroutines):
    return asyncio.gather(*coroutines)


def is_plain(*coroutines):
    return [asyncio.create_task(coroutine) for coroutine in coroutines]


async def waits_for_none(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.wait(tasks)
    return [task.result() for task in tasks]


async def returns_a_tuple(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    return tuple([await task for task in tasks])


WRONG["gather"] = [
    (one_by_one, "one after the other"),
    (begins_late, "one after the other"),
    (returns_tasks, "it returns Tasks"),
    (waits_and_returns_tasks, "it returns Tasks"),
    (returns_nothing, "it returns nothing"),
    (does_nothing, "none of the coroutines"),
    (in_the_order_of_their_ends, "order given"),
    (only_the_first, "it returns [30]"),
    (does_not_wait, "InvalidStateError"),
    (returns_a_set, "not a list"),
    (sleeps_long_enough, "take 5 s, not 3"),
    (forgets_to_await, "await it"),
    (is_plain, "Write async def"),
    (waits_for_none, "of no coroutines it makes no []"),
    (returns_a_tuple, "a tuple, not a list"),
]
