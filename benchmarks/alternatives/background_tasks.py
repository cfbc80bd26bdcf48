"""FastAPI's BackgroundTasks, at most five of them at once.

A task runs after its response, in the web process. What is known of it
is kept in a dict, which nothing ever clears.
"""

import asyncio
import uuid

from fastapi import BackgroundTasks, HTTPException, Request

from benchmarks.alternatives.front import Answer, Work, limited, limited_app
from benchmarks.alternatives.job import WORKERS, add_up

app = limited_app()
answers: dict[str, Answer] = {}
five_at_once = asyncio.Semaphore(WORKERS)


async def run(answer: Answer, work: Work) -> None:
    async with five_at_once:
        answer.status = "processing"
        answer.result = await add_up(work.numbers, work.seconds)
        answer.status = "completed"


@app.post("/tasks", status_code=202)
@limited
async def submit_task(
    request: Request, work: Work, background: BackgroundTasks
) -> Answer:
    answer = Answer(task_id=str(uuid.uuid4()), status="queued")
    answers[answer.task_id] = answer
    background.add_task(run, answer, work)
    return answer


@app.get("/tasks/{task_id}")
@limited
async def get_task(request: Request, task_id: str) -> Answer:
    if task_id not in answers:
        raise HTTPException(404)
    return answers[task_id]
