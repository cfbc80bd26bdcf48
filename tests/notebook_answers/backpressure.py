"""Wrong answers to 04-backpressure-and-priorities.

Each has words of the complaint that it must get.
"""

import asyncio
from collections import deque

WRONG: dict[str, list[tuple[object, str]]] = {
    "low_starts": [
        (None, "would be a wall"),
        (float("inf"), "would be a wall"),
        (60, "not done yet"),
        (155, "submitted before it"),
        (145, "count the high ones"),
        (65, "count the high ones"),
    ]
}


async def submits_nothing(client, submissions):
    return ["task-1", "task-2", "task-3"]


async def ignores_refusals(client, submissions):
    ids = []
    for submission in submissions:
        response = await client.post("/tasks", json=submission)
        ids.append(response.json().get("task_id"))
    return ids


async def fails_when_refused(client, submissions):
    ids = []
    for submission in submissions:
        response = await client.post("/tasks", json=submission)
        ids.append(response.json()["task_id"])
    return ids


async def tries_twice(client, submissions):
    ids = []
    for submission in submissions:
        response = await client.post("/tasks", json=submission)
        if response.status_code == 503:
            await as_told(response)
            response = await client.post("/tasks", json=submission)
        ids.append(response.json().get("task_id"))
    return ids


async def as_told(refusal):
    await asyncio.sleep(int(refusal.headers["retry-after"]))


async def insist(client, submissions, pause):
    """The tasks, where ``pause`` is awaited after each refusal."""
    tasks = []
    for submission in submissions:
        response = await client.post("/tasks", json=submission)
        while response.status_code == 503:
            await pause(response)
            response = await client.post("/tasks", json=submission)
        tasks.append(response.json())
    return tasks


async def asks_again_at_once(client, submissions):
    async def pause(refusal):
        pass

    tasks = await insist(client, submissions, pause)
    return [task["task_id"] for task in tasks]


async def asks_each_second(client, submissions):
    async def pause(refusal):
        await asyncio.sleep(1)

    tasks = await insist(client, submissions, pause)
    return [task["task_id"] for task in tasks]


async def waits_a_minute(client, submissions):
    async def pause(refusal):
        await asyncio.sleep(60)

    tasks = await insist(client, submissions, pause)
    return [task["task_id"] for task in tasks]


async def returns_the_tasks(client, submissions):
    return await insist(client, submissions, as_told)


async def submits_twice(client, submissions):
    tasks = await insist(client, submissions * 2, as_told)
    return [task["task_id"] for task in tasks]


async def twice_as_told(refusal):
    await asyncio.sleep(2 * int(refusal.headers["retry-after"]))


async def waits_twice_as_long(client, submissions):
    return await insist(client, submissions, twice_as_told)


async def a_bit_less(refusal):
    await asyncio.sleep(0.9 * int(refusal.headers["retry-after"]))


async def waits_a_bit_less(client, submissions):
    return await insist(client, submissions, a_bit_less)


async def as_text(refusal):
    await asyncio.sleep(refusal.headers["retry-after"])


async def takes_text_for_a_number(client, submissions):
    return await insist(client, submissions, as_text)


async def forgets_to_await(refusal):
    asyncio.sleep(int(refusal.headers["retry-after"]))


async def sleeps_without_await(client, submissions):
    return await insist(client, submissions, forgets_to_await)


async def all_at_once(client, submissions):
    each = (insist(client, [submission], as_told) for submission in submissions)
    return [task for (task,) in await asyncio.gather(*each)]


WRONG["submit_all"] = [
    (submits_nothing, "no request"),
    (ignores_refusals, "gives up: 1 of three"),
    (fails_when_refused, "KeyError"),
    (tries_twice, "gives up: 2 of three"),
    (asks_again_at_once, "told to wait"),
    (asks_each_second, "told to wait"),
    (waits_a_minute, "longer than it is told"),
    (returns_the_tasks, "not the ids"),
    (submits_twice, "submits 6 tasks"),
    (waits_twice_as_long, "it waits for 14.0 s: much longer"),
    (waits_a_bit_less, "told to wait for 7 s, it waits for 6.3 s"),
    (takes_text_for_a_number, "A header is text"),
    (sleeps_without_await, "waits for 0.0 s: await asyncio.sleep"),
    (all_at_once, "one after the other"),
]


class Tombstones:
    def __init__(self, size):
        self.queue = asyncio.Queue(size)
        self.cancelled = set()

    def put(self, task):
        self.queue.put_nowait(task)

    def cancel(self, task):
        self.cancelled.add(task)

    async def get(self):
        task = await self.queue.get()
        while task in self.cancelled:
            task = await self.queue.get()
        return task


class Unbounded(Tombstones):
    def __init__(self, size):
        super().__init__(0)


class ForgetsToSkip(Tombstones):
    def __init__(self, size):
        super().__init__(0)
        self.size = size
        self.waiting = 0

    def put(self, task):
        if self.waiting == self.size:
            raise asyncio.QueueFull
        self.waiting += 1
        super().put(task)

    def cancel(self, task):
        self.waiting -= 1

    async def get(self):
        task = await self.queue.get()
        self.waiting -= 1
        return task


class TakesTheFirst(Tombstones):
    def cancel(self, task):
        self.queue.get_nowait()


class TakesTheLast(Tombstones):
    def cancel(self, task):
        tasks = self.queue._queue
        if tasks[-1] == task:
            tasks.pop()


class EmptiesIt(Tombstones):
    def cancel(self, task):
        self.queue._queue.clear()


class NewestFirst(Tombstones):
    def __init__(self, size):
        self.queue = asyncio.LifoQueue(size)

    def cancel(self, task):
        self.queue._queue.remove(task)

    async def get(self):
        return await self.queue.get()


class KeepsTheSlotOfWhatWasTaken(Tombstones):
    def __init__(self, size):
        super().__init__(0)
        self.size = size
        self.taken = 0

    def put(self, task):
        if self.taken == self.size:
            raise asyncio.QueueFull
        self.taken += 1
        super().put(task)

    def cancel(self, task):
        self.taken -= 1
        super().cancel(task)


class Polls:
    def __init__(self, size):
        self.size = size
        self.tasks = deque()

    def put(self, task):
        if len(self.tasks) == self.size:
            raise asyncio.QueueFull
        self.tasks.append(task)

    def cancel(self, task):
        self.tasks.remove(task)

    async def get(self):
        while not self.tasks:
            await asyncio.sleep(0)
        return self.tasks.popleft()


class DoesNotWait(Polls):
    async def get(self):
        return self.tasks.popleft() if self.tasks else None


class RaisesWhenEmpty(Polls):
    async def get(self):
        return self.tasks.popleft()


class WakesOnlyOnce(Polls):
    """One Event, cleared by whoever wakes first: a lost wake-up."""

    def __init__(self, size):
        super().__init__(size)
        self.news = asyncio.Event()

    def put(self, task):
        super().put(task)
        self.news.set()

    async def get(self):
        if not self.tasks:
            self.news.clear()
            await self.news.wait()
        return self.tasks.popleft()


class NeverWakes(Polls):
    async def get(self):
        if not self.tasks:
            await asyncio.Event().wait()
        return self.tasks.popleft()


class CancelsAsynchronously(Tombstones):
    async def cancel(self, task):
        self.queue._queue.remove(task)


WRONG["MendedQueue"] = [
    (Tombstones, "a cancelled task keeps its slot"),
    (Unbounded, "it takes three tasks"),
    (ForgetsToSkip, "hands out a task that was cancelled"),
    (TakesTheFirst, "the rest in order"),
    (TakesTheLast, "a cancelled task keeps its slot"),
    (EmptiesIt, "more than one slot"),
    (NewestFirst, "where 'b' was first"),
    (KeepsTheSlotOfWhatWasTaken, "that was taken keeps its slot"),
    (Polls, "in place of waiting"),
    (DoesNotWait, "get does not wait"),
    (RaisesWhenEmpty, "get does not wait"),
    (WakesOnlyOnce, "although the only task was cancelled"),
    (NeverWakes, "0 are handed out"),
    (CancelsAsynchronously, "cancel is an async def"),
]
