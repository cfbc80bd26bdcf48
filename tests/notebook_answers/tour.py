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


async def awaits_nothing(client, submission):
    reply = client.post("/tasks", json=submission)
    return reply.json()


async def returns_what_has_not_run(client, submission):
    return client.post("/tasks", json=submission)


def is_a_plain_function(client, submission):
    return client.post("/tasks", json=submission).json()["task_id"]


def returns_something(client, submission):
    return "a task"


async def takes_a_refusal_for_a_task(client, submission):
    for _ in range(11):
        reply = await client.post("/tasks", json=submission)
    return reply.json()["task_id"]


async def polls_without_a_pause(client, submission):
    reply = await client.post("/tasks", json=submission)
    path = reply.headers["location"]
    while reply.json().get("status") != "completed":
        reply = await client.get(path)
    return reply.json()


async def never_returns(client, submission):
    await asyncio.Event().wait()


async def has_seen_nothing(client, submission):
    reply = await client.post("/tasks", json=submission)
    task = reply.json()
    path = reply.headers["location"]
    while task["finished_at"] is None:
        reply = await client.get(path, params={"wait": "true"})
        task = reply.json()
    return task


async def sleeps_long_enough(client, submission):
    reply = await client.post("/tasks", json=submission)
    await asyncio.sleep(16)
    reply = await client.get(reply.headers["location"])
    return reply.json()


async def asks_its_own_question(client, submission):
    reply = await client.post("/tasks", json=submission)
    reply = await client.get(reply.headers["location"], params={"wait": "true"})
    reply = await client.get(reply.headers["location"], params={"wait": "true"})
    return reply.json()


WRONG["run_task"] = [
    (returns_the_receipt, "still 'queued'"),
    (polls_each_second, "takes 9 requests"),
    (awaits_nothing, "runs when you await it"),
    (returns_what_has_not_run, "has not run: await it"),
    (is_a_plain_function, "runs when you await it"),
    (returns_something, "Write async def"),
    (takes_a_refusal_for_a_task, "A refusal (429, 503) is no task"),
    (polls_without_a_pause, "asked a hundred times at one instant"),
    (never_returns, "waits for ever"),
    (has_seen_nothing, "would get lost: say with since"),
    (sleeps_long_enough, "never lets the server wait"),
    (asks_its_own_question, "Only the answer to a submission has it"),
]
