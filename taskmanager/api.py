"""The HTTP API: create_app and its routes.

Rule: a route translates between a request, one call of the TaskManager,
and a response; it decides nothing.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
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

from taskmanager import openapi, problems
from taskmanager.errors import TaskManagerError
from taskmanager.manager import TaskManager
from taskmanager.middleware import TasksMiddleware
from taskmanager.ratelimit import client_key
from taskmanager.settings import Settings
from taskmanager.stopping import at_server_stop
from taskmanager.task import Task, TaskDict, TaskStatus
from taskmanager.task_types import AnySubmission

# optional: serves the scripts of /docs from this machine, for where
# there is no internet
try:
    from fastapi_offline import FastAPIOffline
except ImportError:
    FastAPIOffline = FastAPI  # type: ignore[assignment]

JSON, NDJSON = "application/json", "application/x-ndjson"


def create_app(
    settings: Settings | None = None, *, executor: Executor | None = None
) -> FastAPI:
    """The application; without ``settings`` they come from the
    environment. Raises SettingsError.
    """
    settings = Settings.from_env(os.environ) if settings is None else settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            TaskManager(settings, executor=executor) as manager,
            at_server_stop(manager.begin_stop),
        ):
            app.state.manager = manager
            yield

    app: FastAPI = FastAPIOffline(
        title="Task manager",
        version="1.0.0",
        description="Submit a task, and poll or long-poll it until it is done. Ten requests a minute per client.",
        lifespan=lifespan,
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(
            (TaskManagerError, RequestValidationError, HTTPException), problems.answer
        ),
    )
    app.add_middleware(TasksMiddleware, settings=settings)
    route, responses = app.add_api_route, openapi.responses
    route("/tasks", submit_task, methods=["POST"], status_code=202, **openapi.SUBMIT)
    route(
        "/tasks",
        list_tasks,
        methods=["GET"],
        responses=responses(200, 400, model=list[TaskDict]),
    )
    route(
        "/tasks/{task_id}",
        get_task,
        methods=["GET"],
        responses=responses(200, 400, 404),
    )
    route(
        "/tasks/{task_id}",
        cancel_task,
        methods=["DELETE"],
        responses=responses(200, 400, 404, 409),
    )
    route("/health", health, methods=["GET"], responses=openapi.HEALTH)
    route("/", to_docs, methods=["GET"], include_in_schema=False)
    # tried in this order
    app.router.routes.sort(
        key=lambda route: not getattr(route, "path", "").startswith("/tasks")
    )
    app.openapi = partial(openapi.document, app)  # type: ignore[method-assign]
    return app


def _answer(
    manager: TaskManager,
    task: Task,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    # Encoded here, not returned for FastAPI to validate and encode: the
    # engine made it, so it is valid.
    return Response(to_json(manager.describe(task)), status, headers, JSON)


async def submit_task(
    request: Request,
    submission: Annotated[AnySubmission, Body(openapi_examples=openapi.EXAMPLES)],
) -> Response:
    """Queue a task. Poll it at `Location`; `Retry-After` tells when it
    can be expected to finish.
    """
    manager: TaskManager = request.app.state.manager
    # as a parameter of the route it would take a quarter longer
    keys = request.headers.getlist("idempotency-key")
    if keys and (len(keys) > 1 or not openapi.KEY.fullmatch(keys[0])):
        return problems.invalid(
            {
                "detail": "Send 1 to 255 characters in double quotes",
                "parameter": "Idempotency-Key",
            }
        )
    key = (
        client_key(request.client.host if request.client else None) + keys[0]
        if keys
        else None
    )
    task = manager.submit(submission, key)
    where = f"{request.scope.get('root_path', '')}/tasks/{task.task_id}"
    return _answer(
        manager,
        task,
        202,
        {"Location": where, "Retry-After": str(manager.retry_after(task))},
    )


async def get_task(
    request: Request,
    task_id: UUID,
    wait: Annotated[
        bool, Query(description="Long poll: answer when the status changes.")
    ] = False,
    since: Annotated[
        int | None, Query(ge=0, description="With wait: the version that you last saw.")
    ] = None,
) -> Response:
    """Read a task: now, or with `wait=true` as soon as there is news."""
    manager: TaskManager = request.app.state.manager
    task = manager.get(str(task_id))
    if wait and not task.news_since(task.version if since is None else since):
        # No longer than the client is there; nothing else tells a
        # handler that it has gone.
        watch = asyncio.create_task(
            _cancel_at_disconnect(asyncio.current_task(), request)  # type: ignore[arg-type]
        )
        try:
            await manager.wait(task.task_id, since)
        except asyncio.CancelledError:
            if not watch.done():
                raise  # somebody else cancelled this
        finally:
            watch.cancel()
    return _answer(manager, task)


async def list_tasks(
    request: Request,
    status: TaskStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] | None = None,
) -> Response:
    """Stream the tasks in the order submitted, as a JSON array or, if
    you accept that, as NDJSON.
    """
    manager: TaskManager = request.app.state.manager
    accepted = request.headers.get("accept", "").lower().split(",")
    ndjson = NDJSON in (item.split(";")[0].strip() for item in accepted)
    stream = _stream(manager, manager.list_tasks(status), limit or sys.maxsize, ndjson)
    return StreamingResponse(stream, media_type=NDJSON if ndjson else JSON)


async def cancel_task(request: Request, task_id: UUID) -> Response:
    """Cancel a task that is queued or processing. Cancelling it again
    changes nothing.
    """
    manager: TaskManager = request.app.state.manager
    return _answer(manager, manager.cancel(str(task_id)))


async def health(request: Request) -> Response:
    """The live counts; 503 while a background loop is dead, or the
    executor lost.
    """
    stats = request.app.state.manager.stats()
    return Response(
        to_json(stats), 200 if stats["status"] == "ok" else 503, media_type=JSON
    )


async def to_docs(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


async def _cancel_at_disconnect(waiting: "asyncio.Task[Any]", request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the body, which nobody reads
    waiting.cancel()


async def _stream(
    manager: TaskManager, pages: Iterator[list[Task]], left: int, ndjson: bool
) -> AsyncIterator[bytes]:
    before = b"["
    for page in pages:
        records = [to_json(manager.describe(task)) for task in page[:left]]
        if records and ndjson:
            yield b"\n".join([*records, b""])
        elif records:
            yield before + b",".join(records)
            before = b","
        left -= len(records)
        if left == 0:
            break
        # others run between two pages, even where sending one does not
        # wait
        await asyncio.sleep(0)
    if not ndjson:
        yield b"]" if before == b"," else b"[]"
