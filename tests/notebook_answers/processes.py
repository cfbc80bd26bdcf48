"""Wrong answers to 14-outgrowing-one-process.

Each has words of the complaint that it must get.
"""

import asyncio

WRONG: dict[str, list[tuple[object, str]]] = {
    "seconds": [
        ((1, 2, 1), "only the holder of the GIL"),
        ((2, 2, 1), "only the holder of the GIL"),
        ((7, 2, 1), "one computes after the other"),
        ((6, 1, 1), "two have to wait"),
        ((6, 1.5, 1), "a piece is not divided"),
        ((6, 6, 1), "first four pieces, then two"),
        ((6, 2, 2), "needs no core"),
        ((6, 2, 6), "lets go of the GIL"),
    ],
}


async def in_the_loop(count, segments, executor, report):
    found = 0
    for index in range(segments):
        found += count(index)
        report((index + 1) * 100 // segments)
        await asyncio.sleep(0)
    return found


async def in_another_executor(count, segments, executor, report):
    return sum([await asyncio.to_thread(count, index) for index in range(segments)])


async def counts_nothing(count, segments, executor, report):
    return 30


async def waits_for_the_result(count, segments, executor, report):
    return sum(executor.submit(count, index).result() for index in range(segments))


async def all_at_once(count, segments, executor, report):
    loop = asyncio.get_running_loop()
    calls = [loop.run_in_executor(executor, count, index) for index in range(segments)]
    found = sum(await asyncio.gather(*calls))
    for index in range(segments):
        report((index + 1) * 100 // segments)
    return found


def one_by_one(first=0, share=100, result=sum, swallows=False):
    async def answer(count, segments, executor, report):
        loop = asyncio.get_running_loop()
        found = []
        for index in range(segments):
            call = loop.run_in_executor(executor, count, index + first)
            try:
                found.append(await call)
            except asyncio.CancelledError:
                if not swallows:
                    raise
                break
            if share:
                report((index + 1) * share // segments)
        return result(found)

    return answer


async def exact_shares(count, segments, executor, report):
    loop = asyncio.get_running_loop()
    found = 0
    for index in range(segments):
        found += await loop.run_in_executor(executor, count, index)
        report(100 * (index + 1) / segments)
    return found


async def in_a_task_of_its_own(count, segments, executor, report):
    inner = asyncio.create_task(one_by_one()(count, segments, executor, report))
    return await asyncio.shield(inner)


WRONG["in_pieces"] = [
    (in_the_loop, "counts in the event loop"),
    (in_another_executor, "counts elsewhere"),
    (counts_nothing, "hands nothing to the executor"),
    (waits_for_the_result, "stops the whole event loop"),
    (one_by_one(first=1), "they are 0 to 3"),
    (all_at_once, "4 segments under way at once"),
    (one_by_one(result=len), "and it returns 4"),
    (one_by_one(share=0), "never calls report"),
    (one_by_one(share=1), "it reports [0, 0, 0, 1]"),
    (exact_shares, "whole numbers"),
    (one_by_one(swallows=True), "let CancelledError pass"),
    (in_a_task_of_its_own, "it has 5 of them counted"),
]


BROKEN = ("internal_error", "executor_lost")


async def submits_only(manager, submission, attempts=3):
    return manager.submit(submission)


async def waits_once(manager, submission, attempts=3):
    task = manager.submit(submission)
    return await manager.wait(task.task_id, since=2)


async def never_again(manager, submission, attempts=3):
    task = manager.submit(submission)
    while not task.finished:
        await manager.wait(task.task_id, task.version)
    return task


async def returns_nothing(manager, submission, attempts=3):
    await never_again(manager, submission)


def insists(codes, attempts_more=0, returns_first=False):
    async def answer(manager, submission, attempts=3):
        tasks = []
        for _ in range(attempts + attempts_more):
            task = await never_again(manager, submission)
            tasks.append(task)
            if not task.error or task.error["code"] not in codes:
                break

        if returns_first:
            return tasks[0]
        return tasks[-1]

    return answer


async def for_ever(manager, submission, attempts=3):
    task = await never_again(manager, submission)
    while task.error:
        task = await never_again(manager, submission)
    return task


async def always_three(manager, submission, attempts=3):
    for _ in range(3):
        task = await never_again(manager, submission)
        if not task.error or task.error["code"] not in BROKEN:
            break
    return task


async def submits_all_at_once(manager, submission, attempts=3):
    tasks = [manager.submit(submission) for _ in range(attempts)]
    for task in tasks:
        while not task.finished:
            await manager.wait(task.task_id, task.version)
    return tasks[-1]


async def with_one_key(manager, submission, attempts=3):
    for _ in range(attempts):
        task = manager.submit(submission, "mine")
        while not task.finished:
            await manager.wait(task.task_id, task.version)
        if not task.error:
            break
    return task


WRONG["insist"] = [
    (submits_only, "still queued"),
    (waits_once, "still processing"),
    (returns_nothing, "returns None"),
    (submits_all_at_once, "is submitted 3 times"),
    (never_again, "does not submit again"),
    (insists(["executor_lost"]), "after internal_error"),
    (insists(["internal_error"]), "after executor_lost"),
    (with_one_key, "with the same key"),
    (insists(BROKEN, returns_first=True), "should return the second task"),
    (insists(BROKEN, attempts_more=1), "the first one is an attempt"),
    (for_ever, "without an end"),
    (always_three, "with attempts=2"),
    (insists([*BROKEN, "task_failed", "timeout"]), "would only repeat itself"),
]
