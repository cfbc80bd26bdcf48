"""What happens to a request under /tasks before a route sees it: the rate limit, then the body limit.

Rule: pure ASGI. A dependency would run after the body has been parsed, so malformed ones would be free;
BaseHTTPMiddleware would hide disconnects, at three times the cost of the route. Notebook: 05-rate-limiting.
"""

import asyncio
import logging
import time
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskmanager import problems
from taskmanager.manager import TaskManager
from taskmanager.ratelimit import client_key


class TasksMiddleware:
    """Limits requests and bodies. It answers 500 too, since Starlette's own would lack the headers added here."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = []
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started, message["headers"] = True, [*message["headers"], *headers]
            await send(message)

        app, path = self.app, scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] == "http" and (path == "/tasks" or path.startswith("/tasks/")):
            manager: TaskManager = scope["app"].state.manager
            headers.append((b"cache-control", b"no-store"))
            if (limiter := manager.limiter) is not None:
                host = scope["client"][0] if scope.get("client") else None
                decision = await limiter.hit(client_key(host), time.monotonic())
                headers.append((b"ratelimit-policy", f'"default";q={limiter.limit};w={limiter.window}'.encode()))
                headers.append((b"ratelimit", f'"default";r={decision.remaining};t={decision.reset}'.encode()))
                app = app if decision.allowed else problems.rate_limited(decision.reset)
            if scope["method"] == "POST":  # no other method has a body that a route would read
                receive = _limit_body(scope, receive, manager)
        try:
            await app(scope, receive, send_with_headers)
        except Exception as error:
            if started or scope["type"] != "http":
                raise  # too late for an answer: the server logs it and closes the connection
            logging.getLogger(__name__).exception("a request could not be answered")
            await (await problems.answer(Request(scope), error))(scope, receive, send_with_headers)


def _limit_body(scope: Scope, receive: Receive, manager: TaskManager) -> Receive:
    """A ``receive`` that raises 413 once the body is over MAX_BODY, and 503 once the server stops."""
    # Whoever waits for a body is cancelled by the stop. Racing each body against it would take two more tasks.
    limit, size = manager.settings.max_body, 0
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")

    async def limited_receive() -> Message:
        nonlocal size
        too_large = HTTPException(413, f"The body has more than {limit} bytes.")
        if declared.isdigit() and int(declared) > limit:
            raise too_large
        request = cast("asyncio.Task[object]", asyncio.current_task())
        manager.body_readers.add(request)
        try:
            message = await receive()
        except asyncio.CancelledError:
            if not manager.stopping:
                raise
            message = {"type": "http.disconnect"}
        finally:
            manager.body_readers.discard(request)
        size += len(message.get("body", b""))
        if size > limit:
            raise too_large
        if manager.stopping:
            raise HTTPException(503, "The server is shutting down.")
        return message

    return limited_receive
