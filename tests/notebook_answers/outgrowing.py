"""Wrong answers to 15-outgrowing-one-machine.

Each has words of the complaint that it must get.
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
}


def hashed(address):
    return zlib.crc32(client_key(address).encode())


def nowhere(address, shards):
    return None


def of_seven(address, shards):
    return hashed(address) % 7


def from_one(address, shards):
    return hashed(address) % shards + 1


def at_random(address, shards):
    return random.randrange(shards)


def by_hash(address, shards):
    return hash(address) % shards


def by_hash_of_the_client(address, shards):
    return hash(client_key(address)) % shards


def by_address(address, shards):
    return zlib.crc32(address.encode()) % shards


def by_last_number(address, shards):
    _, _, last = address.rpartition(".")
    return int(last) % shards


def by_last_digit(address, shards):
    if "." not in address:
        return 0
    return int(address[-1], 16) % shards


def all_on_one(address, shards):
    return 0


def by_number(address, shards):
    network = ipaddress.ip_network(client_key(address))
    return int(network.network_address) % shards


WRONG["shard_of"] = [
    (nowhere, "not a whole number"),
    (of_seven, "they are 0 to"),
    (from_one, "they are 0 to"),
    (at_random, "does not always get the same"),
    (by_hash, "differs from process to process"),
    (by_hash_of_the_client, "differs from process to process"),
    (by_address, "one IPv6 /64"),
    (by_last_number, "it raises ValueError"),
    (by_last_digit, "end in .1"),
    (all_on_one, "about a quarter is fair"),
    (by_number, "end in .1"),
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
