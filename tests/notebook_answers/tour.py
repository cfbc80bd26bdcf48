"""Wrong answers to 00-tour.

Each has words of the complaint that it must get.
"""

import asyncio

WRONG: dict[str, list[tuple[object, str]]] = {
    "requests": [((15, 3), "the submission itself"), ((16, 16), "held for 10 s")]
}


async def returns_the_receipt(client, submission):
    reply = await client.post("/tasks", json=submission)
    return reply.json()


async def polls_each_second(client, submission):
    reply = await client.post("/tasks", json=submission)
    task = reply.json()
    path = f"/tasks/{task['task_id']}"
    while task["finished_at"] is None:
        await asyncio.sleep(2)
        news = await client.get(path)
        task = news.json()
    return task


async def never_returns(client, submission):
    await asyncio.Event().wait()


WRONG["run_task"] = [
    (returns_the_receipt, "still 'queued'"),
    (polls_each_second, "takes 9 requests"),
    (never_returns, "waits for ever"),
]
