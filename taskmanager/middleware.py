"""What happens to a request under /tasks before a route sees it: the
rate limit, then the body limit.

Rule: pure ASGI. A dependency would run after the body has been parsed,
so malformed bodies would be free; BaseHTTPMiddleware would hide
disconnects, and costs more than all of this. Notebook:
05-rate-limiting.
"""

import asyncio
import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskmanager import problems
from taskmanager.ratelimit import SlidingWindow, client_key
from taskmanager.settings import Settings

logger = logging.getLogger(__name__)


class TasksMiddleware:
    """Limits requests and bodies under /tasks, and answers what raised.

    Starlette's own 500 would lack the headers that are added here.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.max_body = settings.max_body
        self.policy = f'"default";q={settings.rate_limit};w={settings.rate_window}'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        response = _Response(send)
        try:
            if _is_about_tasks(scope):
                await self._limited(scope, receive, response)
            else:
                await self.app(scope, receive, response)
        except asyncio.CancelledError:
            # The one place where this is swallowed. At the stop, who
            # waits for a body is cancelled, and answered here; and the
            # server cuts off a response that nobody reads, which is no
            # error of ours.
            if not _is_stopping(scope):
                raise
            if not response.started:
                error = HTTPException(503, "The server is shutting down.")
                await _answer(error, scope, receive, response)
        except Exception as error:
            if response.started:
                raise  # too late: the server logs it and closes the connection
            logger.exception("a request could not be answered")
            await _answer(error, scope, receive, response)

    async def _limited(
        self, scope: Scope, receive: Receive, response: "_Response"
    ) -> None:
        response.headers["Cache-Control"] = "no-store"
        limiter: SlidingWindow | None = scope["app"].state.limiter
        if limiter is not None:
            client = client_key(address_of(scope))
            decision = await limiter.hit(client, time.monotonic())
            response.headers["RateLimit-Policy"] = self.policy
            response.headers["RateLimit"] = (
                f'"default";r={decision.remaining};t={decision.reset}'
            )
            if not decision.allowed:
                refusal = problems.rate_limited(decision.reset)
                await refusal(scope, receive, response)
                return

        if scope["method"] == "POST":  # no other method has a body
            receive = _LimitedBody(scope, receive, self.max_body)
        await self.app(scope, receive, response)


def address_of(scope: Scope) -> str | None:
    """The peer's address as the server reports it, if it does."""
    client = scope.get("client")
    if client is None:
        return None
    host, _ = client
    return str(host)


def _is_about_tasks(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path == "/tasks" or path.startswith("/tasks/")


def _is_stopping(scope: Scope) -> bool:
    stopping: bool = scope["app"].state.manager.stopping
    return stopping


async def _answer(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    response = await problems.answer(Request(scope), error)
    await response(scope, receive, send)


class _Response:
    """A ``send`` that adds headers, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.started = False
        self.headers = MutableHeaders()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] += self.headers.raw
        await self.send(message)


class _LimitedBody:
    """A ``receive`` that raises 413 over MAX_BODY, and 503 at the stop."""

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        self.scope = scope
        self.receive = receive
        self.limit = limit
        self.received = 0
        declared = Headers(scope=scope).get("content-length", "")
        self.declared = int(declared) if declared.isdecimal() else 0

    async def __call__(self) -> Message:
        # Before a byte is read.
        self._check(self.declared)
        message = await self._receive_until_the_stop()
        self.received += len(message.get("body", b""))
        self._check(self.received)
        if _is_stopping(self.scope):
            raise HTTPException(503, "The server is shutting down.")
        return message

    async def _receive_until_the_stop(self) -> Message:
        # The stop cancels whoever waits for a body.
        readers: set[asyncio.Task[object] | None]
        readers = self.scope["app"].state.body_readers
        request = asyncio.current_task()
        readers.add(request)
        try:
            return await self.receive()
        finally:
            readers.discard(request)

    def _check(self, size: int) -> None:
        if size > self.limit:
            raise HTTPException(413, f"The body has more than {self.limit} bytes.")
