"""What happens to a request under /tasks before a route sees it: the
rate limit, then the body limit.

Rule: pure ASGI. A dependency would run after the body has been parsed,
so malformed bodies would be free. BaseHTTPMiddleware costs more than
all of this, and behind it ``request.is_disconnected()`` is blind.
Notebook: 06-rate-limiting.
"""

import asyncio
import logging
import math
import time
from typing import TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskmanager import problems
from taskmanager.errors import NotStartedError
from taskmanager.ratelimit import SlidingWindow, client_key
from taskmanager.settings import Settings

NO_STORE = (b"cache-control", b"no-store")
# What needs no engine, and the scripts of /docs.
DOCS = (
    "/",
    "/docs",
    "/redoc",
    "/openapi.json",
)
SCRIPTS = "/static-offline-docs/"
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
        exchange = _Exchange(scope, receive, send, self.readers)
        manager = exchange.manager
        try:
            if manager is None and path not in DOCS and not path.startswith(SCRIPTS):
                if not self.told:
                    self.told = True
                    logger.error(NOT_STARTED)
                exchange.headers.append(NO_STORE)
                await exchange.answer(NotStartedError(NOT_STARTED))
            elif path == "/tasks" or path.startswith("/tasks/"):
                await self._limited(scope, exchange)
            else:
                await self.app(scope, exchange.receive, exchange.send)

            if exchange.held_back and manager and self.drains < MAX_DRAINS:
                await self._drain(exchange)
        except asyncio.CancelledError:
            # The one place where this is swallowed. At the stop, who
            # waits for a body is cancelled, and answered here; a
            # listing breaks off, and the server cancels a response that
            # nobody reads, which is no error of ours.
            if manager is None or not manager.stopping:
                raise
            if not exchange.started:
                refusal = HTTPException(503, "The server is shutting down.")
                await exchange.answer(refusal)
        except Exception as error:
            if exchange.started:
                raise  # too late: the server logs it and closes the connection
            logger.exception("a request could not be answered")
            await exchange.answer(error)

        if exchange.held_back:
            await send({"type": "http.response.body"})

    async def _limited(self, scope: Scope, exchange: "_Exchange") -> None:
        exchange.headers.append(NO_STORE)
        limiter: SlidingWindow | None = scope["app"].state.limiter
        if limiter is not None:
            client = client_key(address_of(scope))
            decision = await limiter.hit(client, time.monotonic())
            left = f'"default";r={decision.remaining};t={decision.reset}'
            exchange.headers += [self.policy, (b"ratelimit", left.encode())]
            if not decision.allowed:
                refusal = problems.rate_limited(decision.reset)
                await refusal(scope, exchange.receive, exchange.send)
                return

        if scope.get("method") == "POST":  # no other body is used
            exchange.limit = self.max_body
        await self.app(scope, exchange.receive, exchange.send)

    async def _drain(self, exchange: "_Exchange") -> None:
        """Read and drop the rest of a body, within bounds.

        A server that closes a connection with bytes unread resets it,
        and a reset can overtake the answer (RFC 9112, section 9.6): a
        proxy in front makes a 502 of that.
        """
        self.drains += 1
        try:
            await asyncio.wait_for(exchange.drain(), DRAIN_SECONDS)
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


def _below_root_path(scope: Scope) -> str:
    """Take the root path off, and write it without needless slashes.

    What is below it is what the router makes of it
    (starlette._utils.get_route_path, which is private): the rest of the
    path where that is empty or begins with a slash, else the whole. And
    a link that begins with two slashes would lead to another host.
    """
    path: str = scope["path"]
    root_path = scope.setdefault("root_path", "")
    if not root_path:
        return path

    below = path.removeprefix(root_path)
    if below and not below.startswith("/"):
        below = path

    parts = filter(None, root_path.split("/"))
    scope["root_path"] = "".join(f"/{part}" for part in parts)
    scope["path"] = scope["root_path"] + below
    return below


class _Exchange:
    """A request and its response: their ``receive`` and ``send``.

    ``receive`` keeps to the limit of the body, and ``send`` adds
    headers. The last message of a response is held back where some of
    the request's body is unread. The client has the response by then,
    as Content-Length tells, while the server, which waits for the
    message, keeps the connection open.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, readers: Readers
    ) -> None:
        self.scope = scope
        self.readers = readers
        # None where the lifespan has not run.
        self.manager = scope["app"].state.manager
        self._receive = receive
        self._send = send

        self.limit = math.inf
        self.received = 0
        given = dict(scope["headers"])
        length = given.get(b"content-length", b"")
        # Not every server refuses a length that is no number.
        self.declared = int(length) if length.isdigit() else 0
        # Who waits for 100 Continue sends no body unasked.
        has_body = self.declared or b"transfer-encoding" in given
        self.ended = not has_body or b"expect" in given

        self.headers: list[tuple[bytes, bytes]] = []
        self.started = False
        self.held_back = False
        extensions = scope.get("extensions") or {}
        self.can_respond = "websocket.http.response" in extensions

    async def receive(self) -> Message:
        """The next message.

        Raises HTTPException: 413 over the limit, 503 at the stop.
        """
        self._check_size()  # before a byte is read
        request = asyncio.current_task()
        limited = self.limit < math.inf
        if limited:
            # The stop cancels whoever waits for a body.
            self.readers.add(request)
        try:
            message = await self._receive()
        finally:
            self.readers.discard(request)

        self.ended = not message.get("more_body")
        self.received += len(message.get("body", b""))
        self._check_size()
        if limited and self.manager.stopping:
            raise HTTPException(503, "The server is shutting down.")
        return message

    async def drain(self) -> None:
        """Read and drop the rest, up to a limit of its own."""
        self.limit = DRAIN_BYTES
        self.declared = 0
        self.received = 0
        while not self.ended and not self.manager.stopping:
            await self.receive()

    async def send(self, message: Message) -> None:
        """Send a message, as it is or as the server can take it."""
        kind = message["type"]
        if kind.startswith("websocket.http.") and not self.can_respond:
            # A handshake that no response can answer is closed.
            if self.started:
                return
            message = {"type": "websocket.close"}
        elif kind.endswith("http.response.start"):
            message["headers"] += self.headers
        elif kind == "http.response.body" and not self.ended:
            self.held_back = not message.get("more_body", False)
            message["more_body"] = True

        self.started = True
        await self._send(message)

    async def answer(self, error: Exception) -> None:
        """Send the problem document of an error."""
        response = await problems.answer(HTTPConnection(self.scope), error)
        await response(self.scope, self.receive, self.send)

    def _check_size(self) -> None:
        if max(self.declared, self.received) > self.limit:
            raise HTTPException(413, f"The body has more than {self.limit} bytes.")
