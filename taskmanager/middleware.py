"""What happens to a request under /tasks before a route sees it: the
rate limit, then the body limit.

Rule: pure ASGI. A dependency would run after the body has been parsed,
so malformed bodies would be free. BaseHTTPMiddleware costs more than
all of this, and behind it ``request.is_disconnected()`` never says yes.
Notebook: 05-rate-limiting.
"""

import asyncio
import logging
import time
from typing import TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
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

# The asyncio.Tasks that wait for bytes of bodies.
Readers: TypeAlias = set[asyncio.Task[object] | None]

# What is read of bodies that nobody needs: bytes and seconds of each,
# and how many at once.
DRAIN_BYTES = 2**20
DRAIN_SECONDS = 2
MAX_DRAINS = 100

logger = logging.getLogger(__name__)


class TasksMiddleware:
    """Limits requests and bodies under /tasks.

    What raises is answered here, too: Starlette's own 500 would lack
    the headers that are added here.
    """

    def __init__(self, app: ASGIApp, settings: Settings, readers: Readers) -> None:
        self.app = app
        self.readers = readers
        self.told = False
        self.drains = 0
        self.max_body = settings.max_body
        policy = f'"default";q={settings.rate_limit};w={settings.rate_window}'
        self.policy = (b"ratelimit-policy", policy.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        path = _below_root_path(scope)
        body = _Body(scope, receive)
        response = _Response(scope, send, body)
        manager: TaskManager | None = scope["app"].state.manager
        try:
            if manager is None and not _is_about_docs(path):
                await self._not_started(scope, body, response)
            elif path == "/tasks" or path.startswith("/tasks/"):
                await self._limited(scope, body, response)
            else:
                await self.app(scope, body, response)

            if response.held_back and manager and self.drains < MAX_DRAINS:
                await self._drain(scope, body)
        except asyncio.CancelledError:
            # The one place where this is swallowed. At the stop, who
            # waits for a body is cancelled, and answered here; a
            # listing breaks off, and the server cancels a response that
            # nobody reads, which is no error of ours.
            if manager is None or not manager.stopping:
                raise
            if not response.started:
                error = HTTPException(503, "The server is shutting down.")
                await _send_problem(error, scope, receive, response)
        except Exception as error:
            if response.started:
                raise  # too late: the server logs it and closes the connection
            logger.exception("a request could not be answered")
            await _send_problem(error, scope, receive, response)

        if response.held_back:
            await send({"type": "http.response.body"})

    async def _not_started(
        self, scope: Scope, receive: Receive, response: "_Response"
    ) -> None:
        if not self.told:
            self.told = True
            logger.error(NOT_STARTED)
        response.headers.append(NO_STORE)
        await _send_problem(NotStartedError(NOT_STARTED), scope, receive, response)

    async def _limited(
        self, scope: Scope, body: "_Body", response: "_Response"
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
                await refusal(scope, body, response)
                return

        receive: Receive = body
        if scope.get("method") == "POST":  # no other body is used
            receive = _LimitedBody(scope, body, self.max_body, self.readers)
        await self.app(scope, receive, response)

    async def _drain(self, scope: Scope, body: "_Body") -> None:
        """Read and drop the rest of a body, within bounds.

        A server that closes a connection with bytes unread resets it,
        and a reset can overtake the answer (RFC 9112, section 9.6): a
        proxy in front makes a 502 of that.
        """
        body.declared = 0  # no reason to refuse it now
        rest = _LimitedBody(scope, body, DRAIN_BYTES, self.readers)
        self.drains += 1
        try:
            await asyncio.wait_for(rest.drain(), DRAIN_SECONDS)
        except (HTTPException, asyncio.TimeoutError):
            pass  # the connection is closed with bytes unread
        finally:
            self.drains -= 1


def address_of(scope: Scope) -> str | None:
    """The peer's address as the server reports it, if it does."""
    client = scope.get("client")
    if client is None:
        return None
    host, _ = client
    return str(host)


def _is_about_docs(path: str) -> bool:
    return path == "/" or path.startswith(DOCS)


def _below_root_path(scope: Scope) -> str:
    """Take the root path off, and write it without needless slashes.

    What is below it is what the router makes of it
    (starlette._utils.get_route_path, which is private): the rest of the
    path where that is empty or begins with a slash, else the whole. And
    a link that begins with two slashes would lead to another host.
    """
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    below = path.removeprefix(root_path)
    if below and not below.startswith("/"):
        below = path

    parts = filter(None, root_path.split("/"))
    scope["root_path"] = "".join(f"/{part}" for part in parts)
    scope["path"] = scope["root_path"] + below
    return below


async def _send_problem(
    error: Exception, scope: Scope, receive: Receive, send: Send
) -> None:
    response = await problems.answer(HTTPConnection(scope), error)
    await response(scope, receive, send)


class _Response:
    """A ``send`` that adds headers, and holds back the last message.

    It does the latter where some of the request's body is unread. The
    client has the response by then, as Content-Length tells, while the
    server, which waits for the message, keeps the connection open.
    """

    def __init__(self, scope: Scope, send: Send, body: "_Body") -> None:
        self.send = send
        self.body = body
        self.started = False
        self.held_back = False
        self.headers: list[tuple[bytes, bytes]] = []
        extensions = scope.get("extensions", {})
        self.can_deny = "websocket.http.response" in extensions

    async def __call__(self, message: Message) -> None:
        self.started = True
        kind = message["type"]
        if kind.startswith("websocket.http.") and not self.can_deny:
            # A handshake that no response can answer is closed.
            if kind.endswith(".body"):
                return
            message = {"type": "websocket.close"}
        elif kind.endswith("http.response.start"):
            message["headers"] += self.headers
        elif kind == "http.response.body" and not self.body.ended:
            self.held_back = not message.get("more_body", False)
            message["more_body"] = True
        await self.send(message)


class _Body:
    """A ``receive`` that knows whether the body has come to its end."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.receive = receive
        headers = dict(scope["headers"])
        self.declared = int(headers.get(b"content-length", 0))
        # Who waits for 100 Continue sends no body unasked.
        has_body = self.declared or b"transfer-encoding" in headers
        self.ended = not has_body or b"expect" in headers

    async def __call__(self) -> Message:
        message = await self.receive()
        self.ended = not message.get("more_body")
        return message


class _LimitedBody:
    """A ``receive``: 413 over the limit, and 503 at the stop."""

    def __init__(self, scope: Scope, body: _Body, limit: int, readers: Readers) -> None:
        self.body = body
        self.limit = limit
        self.readers = readers
        self.manager: TaskManager = scope["app"].state.manager
        self.received = 0

    async def __call__(self) -> Message:
        if self.body.declared > self.limit:  # before a byte is read
            raise self._refusal()

        # The stop cancels whoever waits for a body.
        request = asyncio.current_task()
        self.readers.add(request)
        try:
            message = await self.body()
        finally:
            self.readers.discard(request)

        self.received += len(message.get("body", b""))
        if self.received > self.limit:
            raise self._refusal()
        if self.manager.stopping:
            raise HTTPException(503, "The server is shutting down.")
        return message

    async def drain(self) -> None:
        while not self.body.ended and not self.manager.stopping:
            await self()

    def _refusal(self) -> HTTPException:
        return HTTPException(413, f"The body has more than {self.limit} bytes.")
