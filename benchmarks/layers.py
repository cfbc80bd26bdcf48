"""The same two routes by hand, on Starlette, and on FastAPI untyped.

What they answer is what a task looks like, and nothing is checked: each
is what one layer costs before the next. Bare FastAPI with the engine's
models is in ``bare``.
"""

import json
import time
import uuid
from typing import Any

from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from taskmanager.task import timestamp

# As many tasks as the engine keeps: the memory is not to be filled.
MOST = 10_000
tasks: dict[str, dict[str, Any]] = {}


def new_task(submission: dict[str, Any]) -> dict[str, Any]:
    if len(tasks) >= MOST:
        tasks.popitem()  # the newest: the first is polled

    task = {
        "task_id": str(uuid.uuid4()),
        "task_type": submission["task_type"],
        "parameters": submission["parameters"],
        "priority": "normal",
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
    tasks[str(task["task_id"])] = task
    return task


# By hand


async def by_hand(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return

    if scope["path"] == "/health":
        await _answer(send, 200, HEALTH)
    elif scope["method"] == "POST":
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await _answer(send, 202, new_task(json.loads(body)))
    else:
        _, _, task_id = scope["path"].rpartition("/")
        await _answer(send, 200, tasks[task_id])


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _answer(send: Send, status: int, content: object) -> None:
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# On Starlette

# Nothing is ever under way here.
HEALTH = {"queued": 0, "processing": 0}


async def submit_task(request: Request) -> JSONResponse:
    return JSONResponse(new_task(await request.json()), 202)


async def get_task(request: Request) -> JSONResponse:
    return JSONResponse(tasks[request.path_params["task_id"]])


async def health(request: Request) -> JSONResponse:
    return JSONResponse(HEALTH)


on_starlette = Starlette(
    routes=[
        Route("/tasks", submit_task, methods=["POST"]),
        Route("/tasks/{task_id}", get_task),
        Route("/health", health),
    ]
)


# On FastAPI, without a type that it could check

on_fastapi = FastAPI()


@on_fastapi.post("/tasks")
async def submit_untyped(request: FastAPIRequest) -> JSONResponse:
    return await submit_task(request)


@on_fastapi.get("/tasks/{task_id}")
async def get_untyped(request: FastAPIRequest) -> JSONResponse:
    return await get_task(request)


@on_fastapi.get("/health")
async def health_untyped() -> dict[str, int]:
    return HEALTH
