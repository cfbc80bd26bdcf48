"""Wrong answers to 11-outgrowing-one-machine, each with words of the
complaint that it must get.
"""

import ipaddress
import random
import zlib

from taskmanager.ratelimit import client_key

WRONG: dict[str, list[tuple[object, str]]] = {
    "sizing": [
        ((600, 2.4, 3), "busy all of their time"),
        ((6667, 2.4, 3), "under way = 2,000 a second"),
        ((1200, 2.4e9, 3), "the number of bytes"),
        ((1200, 0.004, 3), "kept for 600"),
        ((1200, 4.8, 3), "not 4.8 GB"),
        ((1200, 2.4, 2), "two thirds of their time"),
        ((1200, 2.4, 8 / 3), "round up"),
        ((1200, 2.4, 1), "not 1 processes"),
    ],
    "shard_of": [
        (lambda address, shards: None, "not a whole number"),
        (
            lambda address, shards: zlib.crc32(client_key(address).encode()) % 7,
            "they are 0 to",
        ),
        (
            lambda address, shards: (
                zlib.crc32(client_key(address).encode()) % shards + 1
            ),
            "they are 0 to",
        ),
        (
            lambda address, shards: random.randrange(shards),
            "does not always get the same",
        ),
        (
            lambda address, shards: hash(address) % shards,
            "differs from process to process",
        ),
        (
            lambda address, shards: hash(client_key(address)) % shards,
            "differs from process to process",
        ),
        (lambda address, shards: zlib.crc32(address.encode()) % shards, "one IPv6 /64"),
        (
            lambda address, shards: int(address.rpartition(".")[2]) % shards,
            "it raises ValueError",
        ),
        (
            lambda address, shards: (
                int(address[-1], 16) % shards if "." in address else 0
            ),
            "end in .1",
        ),
        (lambda address, shards: 0, "about a quarter is fair"),
        (
            lambda address, shards: (
                int(ipaddress.ip_network(client_key(address))[0]) % shards
            ),
            "end in .1",
        ),
    ],
}


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
            tasks.append(await never_again(manager, submission))
            if not tasks[-1].error or tasks[-1].error["code"] not in codes:
                break
        return tasks[0 if returns_first else -1]

    return answer


async def for_ever(manager, submission, attempts=3):
    while (task := await never_again(manager, submission)).error:
        pass
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
        task = manager.submit(submission, key="mine")
        while not task.finished:
            await manager.wait(task.task_id, task.version)
        if not task.error:
            break
    return task


BROKEN = "internal_error", "executor_lost"
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
