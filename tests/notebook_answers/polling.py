"""Wrong answers to 05-polling.

Each has words of the complaint that it must get.
"""

import asyncio

from notebooks.solutions.polling import Versioned

WRONG: dict[str, list[tuple[object, str]]] = {}


class AnswersAtOnce(Versioned):
    async def wait(self, since):
        return self.version


class WakesNobody(Versioned):
    def change(self):
        self.version += 1


class SetsAndClears(Versioned):
    def change(self):
        self.version += 1
        self.changed.set()
        self.changed.clear()

    async def wait(self, since):
        await self.changed.wait()
        return self.version


class WaiterClears(SetsAndClears):
    def change(self):
        self.version += 1
        self.changed.set()

    async def wait(self, since):
        await self.changed.wait()
        self.changed.clear()
        return self.version


class WaiterClearsInALoop(WaiterClears):
    async def wait(self, since):
        while not self.changed.is_set():
            await self.changed.wait()
        self.changed.clear()
        return self.version


class NeverClears(WaiterClears):
    async def wait(self, since):
        while self.version <= since:
            await self.changed.wait()
        return self.version


class NeverClearsNorLoops(WaiterClears):
    async def wait(self, since):
        await self.changed.wait()
        return self.version


class NewEventOnly(Versioned):
    def change(self):
        self.version += 1
        self.changed = asyncio.Event()


class SwapsBeforeSetting(Versioned):
    def change(self):
        self.version += 1
        self.changed = asyncio.Event()
        self.changed.set()


class IgnoresSince(Versioned):
    async def wait(self, since):
        await self.changed.wait()
        return self.version


class Polls(Versioned):
    async def wait(self, since):
        while self.version <= since:
            await asyncio.sleep(0.1)
        return self.version


class Spins(Versioned):
    async def wait(self, since):
        while self.version <= since:
            await asyncio.sleep(0)
        return self.version


class CountsByItself(Versioned):
    async def wait(self, since):
        await super().wait(since)
        return since + 1


class ChangesAsynchronously(Versioned):
    async def change(self):
        self.version += 1


class NotifiesWithoutTheLock(Versioned):
    def __init__(self):
        super().__init__()
        self.changed = asyncio.Condition()

    def change(self):
        self.version += 1
        self.changed.notify_all()

    async def wait(self, since):
        async with self.changed:
            await self.changed.wait_for(lambda: self.version > since)
        return self.version


WRONG["versioned"] = [
    (AnswersAtOnce, "before anything has changed"),
    (WakesNobody, "none is told"),
    (SetsAndClears, "had not run yet"),
    (WaiterClears, "asks after the change is told nothing"),
    (WaiterClearsInALoop, "is told"),
    (NeverClears, "again and again"),
    (NeverClearsNorLoops, "nothing has changed since"),
    (NewEventOnly, "none is told"),
    (SwapsBeforeSetting, "none is told"),
    (IgnoresSince, "had not run yet"),
    (Polls, "again and again"),
    (Spins, "again and again"),
    (CountsByItself, "not 4, the latest"),
    (ChangesAsynchronously, "change is an async def"),
    (NotifiesWithoutTheLock, "un-acquired lock"),
]


async def forgets_to_return(client, submission):
    await client.post("/tasks", json=submission)


def expected_of(reply):
    return int(reply.headers["retry-after"])


async def long_poll(client, reply, since):
    """The task that ``reply`` is about, as a long poll answers."""
    location = reply.headers["location"]
    news = await client.get(location, params={"wait": "true", "since": since})
    return news.json()


async def asks_once_when_told(client, submission):
    reply = await client.post("/tasks", json=submission)
    await asyncio.sleep(expected_of(reply))
    news = await client.get(reply.headers["location"])
    return news.json()


async def long_polls_only(client, submission):
    reply = await client.post("/tasks", json=submission)
    task = reply.json()
    while task["finished_at"] is None:
        task = await long_poll(client, reply, since=task["version"])
    return task


async def long_polls_once(client, submission):
    reply = await client.post("/tasks", json=submission)
    await asyncio.sleep(max(0, expected_of(reply) - 10))
    return await long_poll(client, reply, since=2)


async def hammers_the_queue(client, submission):
    reply = await client.post("/tasks", json=submission)
    await asyncio.sleep(expected_of(reply) - 10)
    task = await long_poll(client, reply, since=0)
    while task["status"] != "completed":
        await asyncio.sleep(0.001)
        task = await long_poll(client, reply, since=0)
    return task


async def follow(client, reply):
    """Sleep for most of the time, and then long-poll until the end."""
    await asyncio.sleep(max(0, expected_of(reply) - 10))
    task = reply.json()
    while task["finished_at"] is None:
        task = await long_poll(client, reply, since=2)
    return task


async def believes_in_a_receipt(client, submission):
    reply = await client.post("/tasks", json=submission)
    return await follow(client, reply)


async def retries_each_second(client, submission):
    reply = await client.post("/tasks", json=submission)
    while reply.status_code == 429:
        await asyncio.sleep(1)
        reply = await client.post("/tasks", json=submission)
    return await follow(client, reply)


async def never_returns(client, submission):
    await asyncio.Event().wait()


WRONG["best"] = [
    (forgets_to_return, "it returns None"),
    (asks_once_when_told, "0.9 s late"),
    (long_polls_only, "it makes 6 requests"),
    (long_polls_once, "still 'queued', where another task goes first"),
    (hammers_the_queue, "requests"),
    (believes_in_a_receipt, "as if there was a receipt"),
    (retries_each_second, "refused 60 times"),
    (never_returns, "waits for ever"),
]
