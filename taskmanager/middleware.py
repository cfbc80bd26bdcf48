"""What happens to a request under /tasks before a route sees it: the rate limit, then the body limit.

Rule: pure ASGI. A dependency would run after the body has been parsed, so malformed ones would be free;
BaseHTTPMiddleware would hide disconnects, at three times the cost of the route. Notebook: 05-rate-limiting.
"""

import asyncio
import logging
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskmanager import problems
from taskmanager.manager import TaskManager
from taskmanager.ratelimit import client_key

logger = logging.getLogger(__name__)


class TasksMiddleware:
    """Limits requests and bodies. It answers 500 too, since Starlette's own would lack the headers added here."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = []
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        answer = self.app
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == "/tasks" or path.startswith("/tasks/"):
            manager: TaskManager = scope["app"].state.manager
            headers.append((b"cache-control", b"no-store"))
            if (limiter := manager.limiter) is not None:
                host = scope["client"][0] if scope.get("client") else None
                decision = await limiter.hit(client_key(host), time.monotonic())
                left = f'"default";r={decision.remaining};t={decision.reset}'
                headers.append((b"ratelimit-policy", f'"default";q={limiter.limit};w={limiter.window}'.encode()))
                headers.append((b"ratelimit", left.encode()))
                if not decision.allowed:
                    answer = problems.rate_limited(decision.reset)
            if scope["method"] == "POST":  # no other method has a body that a route would read
                receive = _limit_body(scope, receive, manager)
        try:
            await answer(scope, receive, send_with_headers)
        except Exception:
            logger.exception("a request could not be answered")
            if started:
                raise  # too late for an answer: the server closes the connection
            await problems.internal_error()(scope, receive, send_with_headers)


def _limit_body(scope: Scope, receive: Receive, manager: TaskManager) -> Receive:
    """A ``receive`` that raises 413 once the body is over MAX_BODY, and 503 once the server stops.

    Nothing is read before a route asks: an unknown one answers 404 to any body. A request that waits for a slow
    body stands in ``app.state.readers``, where the stop finds it; racing each body against the stop would cost two
    asyncio tasks a request.
    """
    limit = manager.settings.max_body
    readers: set[asyncio.Task[Any] | None] = scope["app"].state.readers
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    size = 0

    async def limited_receive() -> Message:
        nonlocal size
        if declared.isdigit() and int(declared) > limit:
            raise HTTPException(413, str(limit))
        readers.add(reader := asyncio.current_task())
        try:
            message = await receive()
        except asyncio.CancelledError:
            if manager.stopping:
                raise HTTPException(503) from None
            raise
        finally:
            readers.discard(reader)
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413, str(limit))
        if manager.stopping:
            raise HTTPException(503)
        return message

    return limited_receive
