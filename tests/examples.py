"""The examples of the OpenAPI document: real answers.

``python -m tests.examples`` plays what leads to each answer, in virtual
time and with the default settings, and writes the answers to
taskmanager/examples.json; test_openapi.py plays them too, and compares.
What is played stands in SCENES.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

import httpx
from fastapi import FastAPI

from taskmanager.api import create_app
from taskmanager.openapi import RECORDED
from taskmanager.schemas import EVENTS, HEADERS, NDJSON
from taskmanager.settings import Settings
from taskmanager.testing import client_of, run_in_virtual_time, running
from tests.helpers import FAILURE, SUM, UNKNOWN

SETTINGS = Settings(executor="thread")
# The id of the first task ends with 427, that of the next with 428.
TASK_ID = "1b4e28ba-2fa1-41d2-883f-0016d3cca{}"
FIRST = "/tasks/" + TASK_ID.format(427)
NOT_A_NUMBER = {"task_type": "compute_sum", "parameters": {"numbers": [1, "2"]}}


# What happens before the request that is shown


async def nothing(app: FastAPI) -> None:
    """The server has just started."""


async def completed(app: FastAPI) -> None:
    app.state.manager.submit(SUM)
    await asyncio.sleep(6)


async def failed(app: FastAPI) -> None:
    app.state.manager.submit(FAILURE)
    await asyncio.sleep(6)


async def processing(app: FastAPI) -> None:
    app.state.manager.submit(SUM)
    await asyncio.sleep(2)


async def one_completed_one_processing(app: FastAPI) -> None:
    await completed(app)
    await processing(app)


async def key_used(app: FastAPI) -> None:
    async with client_of(app) as client:
        await client.post("/tasks", json=FAILURE, headers={"Idempotency-Key": '"a"'})


async def full(app: FastAPI) -> None:
    for _ in range(SETTINGS.workers + SETTINGS.queue_size):
        app.state.manager.submit(SUM)
        await asyncio.sleep(0.01)  # a worker takes it


async def not_started(app: FastAPI) -> None:
    """Its lifespan is not entered."""


async def stopping(app: FastAPI) -> None:
    app.state.manager.begin_stop()


async def limited(app: FastAPI) -> None:
    async with client_of(app) as client:
        for _ in range(SETTINGS.rate_limit or 0):
            await client.get("/tasks")
    await asyncio.sleep(30)


async def broken(app: FastAPI) -> None:
    """The manager lacks whatever it is asked for."""
    app.state.manager = mock.Mock(spec=["stopping"], stopping=False)


async def watched(app: FastAPI) -> None:
    """As many streams are open as may be."""
    await processing(app)
    app.state.streams.open["tasks"] = SETTINGS.max_streams


async def loop_died(app: FastAPI) -> None:
    async def die() -> None:
        raise RuntimeError("a fault")

    app.state.manager.supervise("cleanup", die)
    await asyncio.sleep(0.5)


# The requests


class Request(NamedTuple):
    """A request, and the operation that answers it."""

    operation: str
    method: str
    path: str
    options: Mapping[str, Any] = MappingProxyType({})


SUBMIT = Request("submit_task", "POST", "/tasks", {"json": SUM})
LIST = Request("list_tasks", "GET", "/tasks")
GET = Request("get_task", "GET", FIRST)
CANCEL = Request("cancel_task", "DELETE", FIRST)
WATCH = Request("watch_task", "GET", FIRST + "/events")
SEEN = {"headers": {"Last-Event-ID": "3-100-" + TASK_ID.format(427)}}
HEALTH = Request("health", "GET", "/health")


class Scene(NamedTuple):
    """An example by its name: what happens, and then a request.

    Without a name, that is the code of the problem.
    """

    before: Callable[[FastAPI], Awaitable[None]]
    request: Request
    name: str = ""


SCENES = [
    Scene(nothing, SUBMIT, "queued"),
    Scene(nothing, SUBMIT._replace(options={"json": NOT_A_NUMBER})),
    Scene(nothing, SUBMIT._replace(options={"content": bytes(SETTINGS.max_body + 1)})),
    Scene(
        key_used,
        SUBMIT._replace(options={"json": SUM, "headers": {"Idempotency-Key": '"a"'}}),
    ),
    Scene(full, SUBMIT),
    Scene(stopping, SUBMIT),
    Scene(stopping, LIST),
    Scene(one_completed_one_processing, LIST, "tasks"),
    Scene(
        one_completed_one_processing,
        LIST._replace(options={"headers": {"Accept": "application/x-ndjson"}}),
        "tasks",
    ),
    Scene(nothing, LIST._replace(path="/tasks?limit=0")),
    Scene(completed, GET, "completed"),
    Scene(failed, GET, "failed"),
    Scene(processing, GET, "processing"),
    Scene(nothing, GET._replace(path="/tasks/27")),
    Scene(nothing, GET._replace(path=f"/tasks/{UNKNOWN}")),
    Scene(processing, CANCEL, "cancelled"),
    Scene(nothing, CANCEL._replace(path="/tasks/27")),
    Scene(nothing, CANCEL._replace(path=f"/tasks/{UNKNOWN}")),
    Scene(completed, CANCEL),
    Scene(processing, WATCH, "events"),
    Scene(completed, WATCH._replace(options=SEEN), "seen"),
    Scene(nothing, WATCH._replace(path="/tasks/27/events")),
    Scene(nothing, WATCH._replace(path=f"/tasks/{UNKNOWN}/events")),
    Scene(watched, WATCH),
    Scene(nothing, HEALTH, "ok"),
    Scene(loop_died, HEALTH, "degraded"),
    Scene(stopping, HEALTH),
    Scene(not_started, HEALTH),
]
for each in (SUBMIT, LIST, GET, CANCEL, WATCH):
    SCENES += [Scene(limited, each), Scene(broken, each), Scene(not_started, each)]


async def play(scene: Scene) -> httpx.Response:
    """The answer."""
    numbers = count(427)
    app = create_app(SETTINGS, new_task_id=lambda: TASK_ID.format(next(numbers)))
    lifespan: Any = running(app)
    if scene.before is not_started:
        lifespan = contextlib.nullcontext()
    async with lifespan, client_of(app) as client:
        await scene.before(app)
        _, method, path, options = scene.request
        return await client.request(method, path, **options)


def examples() -> dict[str, Any]:
    """The headers and content of each response, by operation and
    status.

    Where a response has several examples, it has the headers of each.
    """
    found: dict[str, Any] = {}
    for scene in SCENES:
        answer = run_in_virtual_time(play(scene))
        headers = {
            name: answer.headers[name] for name in HEADERS if name in answer.headers
        }
        # The document describes the content elsewhere.
        rest = set(answer.headers) - {name.lower() for name in headers}
        assert rest <= {"content-type", "content-length", "connection"}, rest
        name, content = _shown(scene, answer)

        operation = found.setdefault(scene.request.operation, {})
        new: dict[str, Any] = {"headers": headers, "content": {}}
        response = operation.setdefault(str(answer.status_code), new)
        for header, value in headers.items():
            response["headers"].setdefault(header, value)
        for media_type, body in content.items():
            shown = response["content"].setdefault(media_type, {"examples": {}})
            shown["examples"][name] = {"value": body}
    return found


def _shown(scene: Scene, answer: httpx.Response) -> tuple[str, dict[str, Any]]:
    """The name of an example, and its body by its media type."""
    if answer.status_code == 204:
        return scene.name, {}
    media_type = answer.headers["content-type"]
    if media_type in (NDJSON, EVENTS):
        return scene.name, {media_type: answer.text}
    body = answer.json()
    return scene.name or body["code"], {media_type: body}


if __name__ == "__main__":
    # Some answers are those to faults, which are logged.
    logging.disable()
    RECORDED.write_text(json.dumps(examples(), indent=2) + "\n", encoding="utf-8")
