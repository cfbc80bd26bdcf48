"""The web process in front of a queue.

ALTERNATIVE names the module that brings ``submit``, ``find`` and, where
something has to be opened and closed, ``lifespan``. Where these are
ordinary functions, which block, so are the routes, and FastAPI calls
them in threads.
"""

import importlib
import inspect
import os

from fastapi import HTTPException, Request

from benchmarks.alternatives.front import Answer, Work, limited, limited_app
from benchmarks.alternatives.job import Found

queue = importlib.import_module(f"benchmarks.alternatives.{os.environ['ALTERNATIVE']}")
app = limited_app(getattr(queue, "lifespan", None))


def answer(task_id: str, found: Found | None) -> Answer:
    if found is None:
        raise HTTPException(404)
    return Answer(task_id=task_id, status=found.status, result=found.result)


if inspect.iscoroutinefunction(queue.submit):

    @app.post("/tasks", status_code=202)
    @limited
    async def submit_task(request: Request, work: Work) -> Answer:
        task_id = await queue.submit(work.numbers, work.seconds)
        return Answer(task_id=task_id, status="queued")

    @app.get("/tasks/{task_id}")
    @limited
    async def get_task(request: Request, task_id: str) -> Answer:
        return answer(task_id, await queue.find(task_id))

else:

    @app.post("/tasks", status_code=202)
    @limited
    def submit_task_in_thread(request: Request, work: Work) -> Answer:
        task_id = queue.submit(work.numbers, work.seconds)
        return Answer(task_id=task_id, status="queued")

    @app.get("/tasks/{task_id}")
    @limited
    def get_task_in_thread(request: Request, task_id: str) -> Answer:
        return answer(task_id, queue.find(task_id))
