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
from typing import TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskmanager import problems
from taskmanager.errors import NotStartedError
from taskmanager.manager import TaskManager
from taskmanager.ratelimit import SlidingWindow, client_key
from taskmanager.settings import Settings

NO_STORE = (b"cache-control", b"no-store")
# What needs no engine.
DOCS = ("/docs", "/redoc", "/openapi.json", "/static-offline-docs/")
NOT_STARTED = (
    "The application's lifespan has not run. Its server does not support lifespans, "
    "or it is mounted in an application that does not enter its lifespan."
)

# The asyncio.Tasks of requests that wait for their body.
Readers: TypeAlias = set[asyncio.Task[object] | None]

logger = logging.getLogger(__name__)


class TasksMiddleware:
    """Limits requests and bodies under /tasks, and answers what raised.

    Starlette's own 500 would lack the headers that are added here.
    """

    def __init__(self, app: ASGIApp, settings: Settings, readers: Readers) -> None:
        self.app = app
        self.readers = readers
        self.told = False
        self.max_body = settings.max_body
        policy = f'"default";q={settings.rate_limit};w={settings.rate_window}'
        self.policy = (b"ratelimit-policy", policy.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        response = _Response(send)
        if scope["app"].state.manager is None and not _is_about_docs(scope):
            if not self.told:
                self.told = True
                logger.error(NOT_STARTED)
            response.headers.append(NO_STORE)
            await _answer(NotStartedError(NOT_STARTED), scope, receive, response)
            return

        try:
            if _is_about_tasks(scope):
                await self._limited(scope, receive, response)
            else:
                await self.app(scope, receive, response)
        except asyncio.CancelledError:
            # The one place where this is swallowed. At the stop, who
            # waits for a body is cancelled, and answered here; a
            # listing breaks off, and the server cancels a response that
            # nobody reads, which is no error of ours.
            manager: TaskManager = scope["app"].state.manager
            if not manager.stopping:
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
        response.headers.append(NO_STORE)
        limiter: SlidingWindow | None = scope["app"].state.limiter
        if limiter is not None:
            client = client_key(address_of(scope))
            decision = await limiter.hit(client, time.monotonic())
            response.headers.append(self.policy)
            left = f'"default";r={decision.remaining};t={decision.reset}'
            response.headers.append((b"ratelimit", left.encode()))
            if not decision.allowed:
                refusal = problems.rate_limited(decision.reset)
                await refusal(scope, receive, response)
                return

        if scope["method"] == "POST":  # no other body is read
            receive = _LimitedBody(scope, receive, self.max_body, self.readers)
        await self.app(scope, receive, response)


def address_of(scope: Scope) -> str | None:
    """The peer's address as the server reports it, if it does."""
    client = scope.get("client")
    if client is None:
        return None
    host, _ = client
    return str(host)


def _path_of(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _is_about_tasks(scope: Scope) -> bool:
    path = _path_of(scope)
    return path == "/tasks" or path.startswith("/tasks/")


def _is_about_docs(scope: Scope) -> bool:
    path = _path_of(scope)
    return path == "/" or path.startswith(DOCS)


async def _answer(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    response = await problems.answer(Request(scope), error)
    await response(scope, receive, send)


class _Response:
    """A ``send`` that adds headers, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.started = False
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] += self.headers
        await self.send(message)


class _LimitedBody:
    """A ``receive``: 413 over MAX_BODY, and 503 at the stop."""

    def __init__(
        self, scope: Scope, receive: Receive, limit: int, readers: Readers
    ) -> None:
        self.receive = receive
        self.limit = limit
        self.readers = readers
        self.manager: TaskManager = scope["app"].state.manager
        self.received = 0
        declared = dict(scope["headers"]).get(b"content-length", b"")
        self.too_large = declared.isdigit() and int(declared) > limit

    async def __call__(self) -> Message:
        if self.too_large:  # before a byte is read
            raise self._refusal()

        # The stop cancels whoever waits for a body.
        request = asyncio.current_task()
        self.readers.add(request)
        try:
            message = await self.receive()
        finally:
            self.readers.discard(request)

        self.received += len(message.get("body", b""))
        if self.received > self.limit:
            raise self._refusal()
        if self.manager.stopping:
            raise HTTPException(503, "The server is shutting down.")
        return message

    def _refusal(self) -> HTTPException:
        return HTTPException(413, f"The body has more than {self.limit} bytes.")
