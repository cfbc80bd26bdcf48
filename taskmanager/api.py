"""The HTTP API: create_app and its routes.

Rule: a route translates. It makes one call of the TaskManager from a request, and a response from the task that it
gets; it decides nothing. Notebook: 00-tour.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, StreamingResponse
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Receive

from taskmanager import openapi, problems
from taskmanager.errors import TaskManagerError
from taskmanager.manager import TaskManager
from taskmanager.middleware import TasksMiddleware
from taskmanager.models import Task, TaskStatus
from taskmanager.parameters import Submission
from taskmanager.schemas import EXAMPLES, Health
from taskmanager.settings import Settings
from taskmanager.stopping import stop_with_server

try:  # optional: serves the scripts of /docs from this machine, for where there is no internet
    from fastapi_offline import FastAPIOffline
except ImportError:
    FastAPIOffline = FastAPI

NDJSON = "application/x-ndjson"


def create_app(settings: Settings | None = None, *, executor: Executor | None = None) -> FastAPI:
    """The application; without ``settings`` they come from the environment. Raises SettingsError.

    CPU-bound work goes to ``executor``, as TaskManager describes.
    """
    settings = Settings.from_env(os.environ) if settings is None else settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = app.state
        state.readers = set()
        async with (
            TaskManager(settings, executor=executor) as state.manager,
            stop_with_server(state.manager, state.readers),
        ):
            yield

    app: FastAPI = FastAPIOffline(
        title="Task manager",
        version="1.0.0",
        description="Submit a task, and poll or long-poll it until it is done. Ten requests a minute per client.",
        lifespan=lifespan,
        redirect_slashes=False,
        middleware=[Middleware(TasksMiddleware)],
        exception_handlers={
            TaskManagerError: problems.from_task_manager,
            RequestValidationError: problems.from_validation,
            HTTPException: problems.from_http,
        },
    )
    route, responses = app.add_api_route, openapi.responses
    route("/tasks", submit_task, methods=["POST"], status_code=202, responses=responses(202, 400, 413, 503))
    route("/tasks", list_tasks, methods=["GET"], responses=responses(200, 400, listing=True))
    route("/tasks/{task_id}", get_task, methods=["GET"], responses=responses(200, 400, 404))
    route("/tasks/{task_id}", cancel_task, methods=["DELETE"], responses=responses(200, 400, 404, 409))
    degraded = {"model": Health, "description": "degraded: a background loop is dead"}
    route("/health", health, methods=["GET"], response_model=Health, responses={503: degraded})
    route("/", to_docs, methods=["GET"], include_in_schema=False)
    app.openapi = partial(openapi.document, app)  # type: ignore[method-assign]
    return app


async def submit_task(request: Request, submission: Annotated[Submission, Body(openapi_examples=EXAMPLES)]) -> Response:
    """Queue a task. Poll it at `Location`; `Retry-After` tells when it can be expected to finish."""
    manager = _manager(request)
    task = manager.submit(submission)
    where = f"{request.scope.get('root_path', '')}/tasks/{task.task_id}"
    return _answer(manager, task, 202, {"Location": where, "Retry-After": str(manager.retry_after(task))})


async def get_task(
    request: Request,
    task_id: UUID,
    wait: Annotated[bool, Query(description="Long poll: answer when the status changes.")] = False,
    since: Annotated[int | None, Query(ge=0, description="With wait: the version that you last saw.")] = None,
) -> Response:
    """Read a task: now, or with `wait=true` as soon as there is news."""
    manager = _manager(request)
    task = manager.get(str(task_id))
    if wait and not task.news_since(task.version if since is None else since):
        await _until_disconnect(manager.wait(task.task_id, since), request.receive)
    return _answer(manager, task)


async def list_tasks(
    request: Request, status: TaskStatus | None = None, limit: Annotated[int | None, Query(ge=1, le=10_000)] = None
) -> Response:
    """Stream the tasks in the order submitted, as a JSON array or, if you accept that, as NDJSON."""
    manager = _manager(request)
    pages = manager.list_tasks(status, limit)
    if any(item.split(";")[0].strip().lower() == NDJSON for item in request.headers.get("accept", "").split(",")):
        return StreamingResponse(_as_ndjson(manager, pages), media_type=NDJSON)
    return StreamingResponse(_as_array(manager, pages), media_type="application/json")


async def cancel_task(request: Request, task_id: UUID) -> Response:
    """Cancel a task that is queued or processing. Cancelling it again changes nothing."""
    manager = _manager(request)
    return _answer(manager, manager.cancel(str(task_id)))


async def health(request: Request) -> Response:
    """The live counts; 503 while a background loop is dead."""
    stats = _manager(request).stats()
    return Response(to_json(stats), 200 if stats["status"] == "ok" else 503, media_type="application/json")


async def to_docs(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


def _manager(request: Request) -> TaskManager:
    manager: TaskManager = request.app.state.manager
    return manager


def _answer(manager: TaskManager, task: Task, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # Encoded here, not returned for FastAPI to validate and encode: the engine made it, so it is valid.
    return Response(to_json(manager.describe(task)), status, headers, media_type="application/json")


async def _until_disconnect(work: Coroutine[Any, Any, Any], receive: Receive) -> None:
    """Wait for ``work``, but no longer than the client does; nothing else tells a handler that it has gone."""

    async def disconnect() -> None:
        message = await receive()
        while message.get("more_body"):
            message = await receive()
        if message["type"] == "http.request":
            await receive()  # the request is complete: all that can follow is the disconnect

    tasks = asyncio.ensure_future(work), asyncio.ensure_future(disconnect())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _as_array(manager: TaskManager, pages: AsyncIterator[list[Task]]) -> AsyncIterator[bytes]:
    before = b"["
    async for page in pages:
        yield before + to_json([manager.describe(task) for task in page])[1:-1]
        before = b","
    yield b"]" if before == b"," else b"[]"


async def _as_ndjson(manager: TaskManager, pages: AsyncIterator[list[Task]]) -> AsyncIterator[bytes]:
    async for page in pages:
        yield b"".join(to_json(manager.describe(task)) + b"\n" for task in page)
