"""The reference for submit and poll: the same models on FastAPI alone.

It is as a tutorial would write it: it validates a submission, makes a
task of it, keeps it in a dict, and returns it through FastAPI's
response model. It has no queue, no workers, no limiter, no events, no
problem documents.
"""

import asyncio
import time
import uuid
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Query, Response

from taskmanager.task import TaskDict, timestamp
from taskmanager.task_types import AnySubmission as Submission

# As many tasks as the engine keeps: the memory is not to be filled.
MOST = 10_000

app = FastAPI()
tasks: dict[str, dict[str, Any]] = {}


@app.post("/tasks", status_code=202)
async def submit_task(submission: Submission) -> TaskDict:
    if len(tasks) >= MOST:
        tasks.popitem()  # the newest: the first is polled

    task_id = str(uuid.uuid4())
    task = {
        "task_id": task_id,
        "task_type": submission.task_type,
        "parameters": vars(submission.parameters),
        "priority": submission.priority,
        "status": "queued",
        "version": 1,
        "progress": 0,
        "queue_position": 0,
        "result": None,
        "error": None,
        "created_at": timestamp(time.time()),
        "started_at": None,
        "finished_at": None,
    }
    tasks[task_id] = task
    # FastAPI checks and encodes it.
    return task  # type: ignore[return-value]


@app.post("/keyed", status_code=202)
async def submit_task_with_key(
    submission: Submission,
    idempotency_key: Annotated[list[str] | None, Header()] = None,
) -> TaskDict:
    """With a header as a parameter, of which nothing is made."""
    return await submit_task(submission)


@app.get("/tasks/{task_id}")
async def get_task(
    task_id: uuid.UUID,
    wait: bool = False,
    since: Annotated[int | None, Query(ge=0)] = None,
) -> TaskDict:
    """With the engine's parameters, of which nothing is made.

    What is measured is what FastAPI does for them.
    """
    return await get_task_plainly(task_id)


@app.get("/plainly/{task_id}")
async def get_task_plainly(task_id: uuid.UUID) -> TaskDict:
    task = tasks.get(str(task_id))
    if task is None:
        raise HTTPException(404)
    return task  # type: ignore[return-value]


waiting: list["asyncio.Future[None]"] = []


@app.get("/health")
async def health() -> dict[str, int]:
    """Nothing is ever under way here, but for what is held.

    Whoever waits for that asks both applications.
    """
    return {
        "queued": 0,
        "processing": 0,
        "waiting": len(waiting),
    }


@app.get("/held/{task_id}")
async def hold(
    task_id: uuid.UUID,
    wait: bool = False,
    since: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """A request that waits: what FastAPI takes for it.

    That is before any long poll is built on it.
    """
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.append(future)
    await future
    return Response()
