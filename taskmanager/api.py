"""The HTTP API: create_app and its routes.

Rule: a route translates between a request, one call of the TaskManager,
and a response; it decides nothing. Notebook: 00-tour.
"""

import asyncio
import operator
import os
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Body, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import SkipValidation
from pydantic_core import to_json

import taskmanager
from taskmanager import (
    accept,
    cleanup,
    executors,
    listing,
    openapi,
    problems,
    schemas,
    watch,
)
from taskmanager.manager import Stats, TaskManager
from taskmanager.middleware import TasksMiddleware, address_of
from taskmanager.ratelimit import SlidingWindow, client_key
from taskmanager.routing import PlainRoute, check_once
from taskmanager.settings import Settings
from taskmanager.stopping import CUT_OFF, at_server_stop
from taskmanager.task import Task, TaskDict, TaskStatus, new_task_id
from taskmanager.task_types import AnySubmission

# Optional: it serves the scripts of /docs from this machine, for where
# there is no internet.
try:
    from fastapi_offline import FastAPIOffline
except ImportError:
    FastAPIOffline = FastAPI  # type: ignore[assignment]

JSON = "application/json"

router = APIRouter(
    tags=["tasks"],
    route_class=PlainRoute,
    generate_unique_id_function=operator.attrgetter("name"),
)


def create_app(
    settings: Settings | None = None,
    *,
    executor: Executor | None = None,
    new_task_id: Callable[[], str] = new_task_id,
) -> FastAPI:
    """The application.

    Without ``settings`` they come from the environment. An ``executor``
    stays the caller's to start and to shut down. Raises SettingsError.
    """
    if settings is None:
        settings = Settings.from_env(os.environ)
    if executor is None:
        # What is missing for it is said now, and not when the server
        # starts.
        executors.new_executor(settings)

    quota = "There is no rate limit."
    if settings.rate_limit is not None:
        quota = (
            f"Requests of a client: {settings.rate_limit} at most "
            f"in any {settings.rate_window} s."
        )

    telemetry = settings.telemetry == "on"

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        manager = TaskManager(settings, executor=executor, new_task_id=new_task_id)
        app.state.listing = asyncio.Lock()
        app.state.describing = asyncio.Lock()
        app.state.described = (None, b"")
        app.state.limiter = None

        def stop() -> None:
            manager.begin_stop()
            for reader in app.state.readers:
                reader.cancel()

        app.state.stop = stop
        async with manager, at_server_stop(stop) as sees_first:
            app.state.sees_first = sees_first
            # Only now: a start that failed takes no tasks.
            app.state.manager = manager
            app.state.streams = watch.Streams(manager)
            if settings.rate_limit is not None:
                limiter = SlidingWindow(
                    settings.rate_limit, settings.rate_window, settings.max_clients
                )
                app.state.limiter = limiter
                sweep = partial(cleanup.sweep_clients, limiter, settings)
                manager.supervise("rate limit", sweep)

            try:
                yield
            finally:
                stop()

    app: FastAPI = FastAPIOffline(
        title="Task manager",
        version=taskmanager.__version__,
        description="Submit a task, and poll or long-poll it until it is done. "
        f"{quota}",
        contact={"name": "Whoever runs this server"},
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_tags=[{"name": "tasks", "description": "What runs in the background"}],
        servers=[{"url": "/"}],
        telemetry={"tracing": telemetry, "metrics": telemetry, "logs": telemetry},
        lifespan=lifespan,
        routes=[*router.routes, *watch.router.routes],
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(problems.EXPECTED, problems.answer),
    )
    # The pages outside the document, where HEAD is no operation.
    for route in app.routes:
        if isinstance(route, APIRoute) and not route.include_in_schema:
            route.methods = {"GET", "HEAD"}
    if settings.live == "on":
        app.router.routes.extend(watch.live_router.routes)

    # Until the lifespan runs, which some servers never do.
    app.state.manager = None
    # The asyncio.Tasks that wait for what clients send, and how many do
    # so for bodies that nobody needs.
    app.state.readers = set()
    app.state.drains = 0
    app.add_middleware(TasksMiddleware, settings=settings)
    app.router.default = problems.no_route
    limited = settings.rate_limit is not None
    app.openapi = partial(  # type: ignore[method-assign]
        openapi.document, app, limited
    )
    return app


@router.post(
    "/tasks",
    status_code=202,
    response_model=TaskDict,
    response_description="The task was accepted",
    responses=schemas.problems(400, 413, 422),
    openapi_extra=openapi.IDEMPOTENCY_KEY,
)
async def submit_task(
    request: Request,
    # The manager checks it.
    submission: Annotated[
        SkipValidation[AnySubmission], Body(openapi_examples=schemas.EXAMPLES)
    ],
) -> Response:
    """Queue a task.

    Poll it at `Location`; `Retry-After` tells when it can be expected
    to finish.
    """
    detail = "Send 1 to 255 characters in double quotes"
    check_once(request.headers, openapi.KEY, detail, "Idempotency-Key")
    key = request.headers.get("idempotency-key")
    if key is not None:
        # A key is the client's own: it means nothing from another.
        key = client_key(address_of(request.scope)) + key

    manager: TaskManager = request.app.state.manager
    task = manager.submit(submission, key)
    headers = {
        "Location": f"{_root_path(request)}/tasks/{task.task_id}",
        "Retry-After": str(manager.retry_after(task)),
    }
    return await _described(request, task, 202, headers)


@router.get(
    "/tasks",
    response_model=list[TaskDict],
    response_description="The tasks, in the order submitted",
    responses=schemas.LINES | schemas.problems(400),
)
async def list_tasks(
    request: Request,
    status: TaskStatus | None = None,
    limit: Annotated[int | None, Query(ge=1, le=10_000)] = None,
) -> Response:
    """Stream the tasks in the order submitted.

    They come as a JSON array or, if you accept that, as NDJSON.
    """
    manager: TaskManager = request.app.state.manager
    manager.check_running()
    pages = manager.list_tasks(status)
    lock = request.app.state.listing
    slices = listing.slices(manager, pages, status, limit or sys.maxsize, lock)
    # Or the stop would wait for whoever reads slowly.
    request.scope[CUT_OFF] = True

    accepted = ",".join(request.headers.getlist("accept"))
    if accept.prefers(accepted, schemas.NDJSON, JSON):
        return StreamingResponse(listing.as_lines(slices), media_type=schemas.NDJSON)
    return StreamingResponse(listing.as_array(slices), media_type=JSON)


@router.get(
    "/tasks/{task_id}",
    response_model=TaskDict,
    response_description="The task as it is now",
    responses=schemas.problems(400, 404),
)
async def get_task(
    request: Request,
    task_id: UUID,
    wait: Annotated[
        bool,
        Query(
            description="Long poll: answer when the status changes, and after "
            "WAIT_TIMEOUT (10 s unless set otherwise) with the task as it is."
        ),
    ] = False,
    since: Annotated[
        int | None, Query(ge=0, description="With wait: the version that you last saw.")
    ] = None,
) -> Response:
    """Read a task: now, or with `wait=true` once there is news."""
    manager: TaskManager = request.app.state.manager
    task = manager.get(str(task_id))
    seen = task.version if since is None else since
    if wait and not task.changed_since(seen):
        # No longer than the client is there; nothing else tells a
        # handler that it has gone.
        leaving = asyncio.ensure_future(_disconnected(request))
        try:
            await manager.wait(task.task_id, seen, leaving)
        finally:
            leaving.cancel()
    return await _described(request, task)


@router.delete(
    "/tasks/{task_id}",
    response_model=TaskDict,
    response_description="The task, which is cancelled now",
    responses=schemas.problems(400, 404, 409),
)
async def cancel_task(request: Request, task_id: UUID) -> Response:
    """Cancel a task that is queued or processing.

    Cancelling it again changes nothing.
    """
    manager: TaskManager = request.app.state.manager
    task = manager.cancel(str(task_id))
    return await _described(request, task)


@router.get(
    "/health",
    response_model=Stats,
    response_description="ok",
    responses={
        503: {
            "model": Stats,
            "description": "degraded, or a problem",
            "content": schemas.A_PROBLEM,
        }
    },
)
@router.head("/health", include_in_schema=False)
async def health(request: Request) -> Response:
    """The live counts.

    503 while a background loop is dead, or the executor lost.
    """
    manager: TaskManager = request.app.state.manager
    manager.check_running()
    stats = manager.stats()

    status = 200 if stats["status"] == "ok" else 503
    return Response(to_json(stats), status, media_type=JSON)


@router.get("/openapi.json", include_in_schema=False)
async def document(request: Request) -> Response:
    """The OpenAPI document; its server is where the client reaches us.

    This comes before FastAPI's own, which would name a second server.
    """
    url = _root_path(request) or "/"
    return JSONResponse(request.app.openapi() | {"servers": [{"url": url}]})


@router.get("/", include_in_schema=False)
async def to_docs(request: Request) -> Response:
    """Lead a browser to the documentation."""
    return RedirectResponse(f"{_root_path(request)}/docs")


def _root_path(request: Request) -> str:
    """The root path as it stands in a URL, where it may be quoted."""
    return quote(request.scope["root_path"], safe="/%")


async def _described(
    request: Request,
    task: Task,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    # Encoded here, not returned for FastAPI to validate and encode: the
    # engine made it, so it is valid. When a task is finished, many may
    # ask for its record at once: it is encoded once. Between large
    # records that differ, others have their turn.
    state = request.app.state
    async with state.describing:
        # Read first: it may finish while its record is being made.
        finished = task.finished
        last, body = state.described
        if last is not task:
            [body] = await listing.encode(state.manager, [task])
            if finished:
                state.described = (task, body)
    return Response(body, status, headers, JSON)


async def _disconnected(request: Request) -> None:
    """Return once the client has gone."""
    message = await request.receive()
    while message["type"] != "http.disconnect":
        # That was the body, which nobody reads.
        message = await request.receive()
