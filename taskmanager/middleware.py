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
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskmanager import events, problems
from taskmanager.errors import (
    NotStartedError,
    ShuttingDownError,
    TaskNotFoundError,
)
from taskmanager.manager import TaskManager
from taskmanager.ratelimit import SlidingWindow, client_key
from taskmanager.routing import PlainRoute
from taskmanager.settings import Settings

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

# In the scope of a request: at the stop its response ends by itself.
ENDS_ITSELF = "taskmanager.ends_itself"
# And what sends the parts of a response between its start and its end
# past all who would only pass them on (benchmarks: streams).
SEND_ON = "taskmanager.send_on"

# What is read of bodies that nobody needs: bytes and seconds of each,
# and how many at once. The stop ends that; what it refuses itself gets
# less, so that the server has ended soon.
DRAIN_BYTES = 2**20
DRAIN_SECONDS = 2.0
STOP_DRAIN_SECONDS = 0.5
MAX_DRAINS = 100

logger = logging.getLogger(__name__)


class TasksMiddleware:
    """Limits requests and bodies under /tasks.

    What raises is answered here, too: Starlette's own 500 would lack
    the headers that are added here.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        # Not past a middleware that somebody put in between, nor past
        # telemetry, which hears of a route from FastAPI's router.
        is_next = isinstance(app, ExceptionMiddleware)
        self.calls_routes = is_next and settings.telemetry == "off"
        self.told = False
        self.max_body = settings.max_body
        policy = f'"default";q={settings.rate_limit};w={settings.rate_window}'
        self.policy = (b"ratelimit-policy", policy.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        path = _below_root_path(scope)
        exchange = _Exchange(scope, receive, send)
        manager = exchange.manager
        state = scope["app"].state
        if manager and state.sees_first:
            state.sees_first(scope)
            state.sees_first = None
        try:
            await self._answer(scope, exchange, path)
        except asyncio.CancelledError:
            # The one place where this is swallowed. At the stop,
            # whoever waits for a body is cancelled, and answered here;
            # a listing breaks off, and the server cancels a response
            # that nobody reads, which is no error of ours.
            if manager is None or not manager.stopping:
                raise
            if not exchange.started:
                await exchange.answer(ShuttingDownError())
        finally:
            # uvicorn's send holds the scope. They must not be a cycle,
            # which only the garbage collector frees. An engine mounted
            # in this one has taken it out before.
            scope.pop(SEND_ON, None)

    async def _answer(self, scope: Scope, exchange: "_Exchange", path: str) -> None:
        is_script = path.startswith(SCRIPTS)
        needs_engine = path not in DOCS and not is_script
        if needs_engine:
            exchange.headers.append((b"cache-control", b"no-store"))
        try:
            if exchange.manager is None and needs_engine:
                if not self.told:
                    self.told = True
                    logger.error(NOT_STARTED)
                await exchange.answer(NotStartedError(NOT_STARTED))
            elif is_script and scope["type"] == "websocket":
                # A folder of files closes a handshake without a word.
                await exchange.answer(HTTPException(404))
            elif path == "/tasks" or path.startswith("/tasks/"):
                await self._limited(scope, exchange, path)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            # Nobody is left to answer.
            pass
        except Exception as error:
            if exchange.started:
                # Too late: the server logs it, and closes the
                # connection.
                raise
            await exchange.answer(error)

    async def _limited(self, scope: Scope, exchange: "_Exchange", path: str) -> None:
        is_over = path.endswith("/events") and _is_over(scope, exchange.manager)
        limiter: SlidingWindow | None = scope["app"].state.limiter
        if limiter is not None:
            client = client_key(address_of(scope))
            decision = await limiter.hit(client, time.monotonic(), free=is_over)
            left = f'"default";r={decision.remaining};t={decision.reset}'
            exchange.headers += [self.policy, (b"ratelimit", left.encode())]
            if not decision.allowed:
                refusal = problems.rate_limited(decision.reset)
                await refusal(scope, exchange.receive, exchange.send)
                return

        if is_over:
            await Response(status_code=204)(scope, exchange.receive, exchange.send)
            return

        # No other body is used.
        if scope.get("method") == "POST":
            exchange.limit = self.max_body
        app = self.app
        if self.calls_routes:
            app = _plain_route(scope) or app
        await app(scope, exchange.receive, exchange.send)


def address_of(scope: Scope) -> str | None:
    """The peer's address as the server reports it, if it does."""
    host, _ = scope.get("client") or (None, None)
    return host


def _plain_route(scope: Scope) -> ASGIApp | None:
    """What the application would call, where that is a PlainRoute.

    The way there is left out: what answers exceptions, as is done here,
    and what closes dependencies, of which such a route has none
    (benchmarks: shortcuts).
    """
    for route in scope["app"].routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            if not isinstance(route, PlainRoute):
                return None
            scope.update(found)
            return route.handle

    return None


def _is_over(scope: Scope, manager: TaskManager) -> bool:
    """Whether a stream is asked for whose final event was seen.

    A browser does that by itself, so it is free.
    """
    last_seen = dict(scope["headers"]).get(b"last-event-id")
    if last_seen is None or scope.get("method") != "GET":
        return False

    *_, task_id, _ = scope["path"].split("/")
    try:
        task = manager.get(str(UUID(task_id)))
    except (ValueError, TaskNotFoundError):
        return False
    return task.finished and last_seen == events.event_id(task).encode()


def _below_root_path(scope: Scope) -> str:
    """Take the root path off, and write it without needless slashes.

    What is below it is what the router makes of it
    (starlette._utils.get_route_path, which is private): the rest of the
    path where that is empty or begins with a slash, else the whole. And
    a link that begins with two slashes would lead to another host.
    """
    # The router's patterns end in "$", which a line break may follow:
    # as /tasks%0A, a request would pass the limits and be served.
    path: str = scope["path"].replace("\n", "%0A")
    scope["path"] = path

    root_path = scope.setdefault("root_path", "")
    if not root_path:
        return path

    below = path.removeprefix(root_path)
    if below and not below.startswith("/"):
        below = path

    parts = filter(None, root_path.split("/"))
    scope["root_path"] = "".join(f"/{part}" for part in parts)
    if not scope["root_path"]:
        # The root path was nothing but slashes, and so may be the path.
        below = below or "/"
    scope["path"] = scope["root_path"] + below
    return below


class _Exchange:
    """A request and its response: their ``receive`` and ``send``.

    ``receive`` keeps to the limit of the body, and ``send`` adds
    headers. Where some of the request's body is unread, the connection
    is to be closed: the server would read the rest without a bound
    before the next request. And the last message of the response is
    held back: the client has the response by then, as Content-Length
    tells, while the server, which waits for the message, does not close
    the connection yet.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.state = scope["app"].state
        # None where the lifespan has not run.
        self.manager = self.state.manager
        self._receive = receive
        self._send = send
        scope[SEND_ON] = send

        self.limit = math.inf
        self.received = 0
        # Blanks around a value are no part of it, and not every server
        # takes them off.
        scope["headers"] = [
            (name, value.strip(b" \t")) for name, value in scope["headers"]
        ]
        given = dict(scope["headers"])
        length = given.get(b"content-length", b"")
        # Not every server refuses a length that is no number.
        self.declared = int(length) if length.isdigit() else 0
        self.ended = not self.declared and b"transfer-encoding" not in given
        # Whoever waits for 100 Continue sends no body unasked.
        self.asked = b"expect" not in given

        self.headers: list[tuple[bytes, bytes]] = []
        self.started = False
        extensions = scope.get("extensions") or {}
        self.can_respond = "websocket.http.response" in extensions

    async def receive(self) -> Message:
        """The next message.

        Raises HTTPException over the limit, and ShuttingDownError.
        """
        # Once before a byte is read.
        self._check_size()
        if self.limit < math.inf:
            self.manager.check_running()
        message = await self._next()
        self._check_size()
        return message

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
            if not self.ended:
                message["headers"].append((b"connection", b"close"))
        elif (
            kind == "http.response.body"
            and self.asked
            and not (self.ended or message.get("more_body"))
        ):
            message["more_body"] = True
            await self._send(message)
            await self._drain()
            message = {"type": kind}

        self.started = True
        await self._send(message)

    async def answer(self, error: Exception) -> None:
        """Send the problem document of an error."""
        response = await problems.answer(HTTPConnection(self.scope), error)
        await response(self.scope, self.receive, self.send)

    async def _drain(self) -> None:
        """Read and drop the rest of the body, within bounds.

        A server that closes a connection with bytes unread resets it,
        and a reset can overtake the answer (RFC 9112, section 9.6): a
        proxy in front makes a 502 of that.
        """
        if self.state.drains >= MAX_DRAINS:
            return

        reading = asyncio.create_task(self._read_on())
        self.state.drains += 1
        try:
            # It begins, so that the stop can end it.
            await asyncio.sleep(0)
            seconds = DRAIN_SECONDS
            if self.manager and self.manager.stopping:
                seconds = STOP_DRAIN_SECONDS
            await asyncio.wait([reading], timeout=seconds)
        finally:
            reading.cancel()
            self.state.drains -= 1

    async def _read_on(self) -> None:
        limit = self.received + DRAIN_BYTES
        while not self.ended and self.received <= limit:
            await self._next()

    async def _next(self) -> Message:
        self.asked = True
        # The stop cancels whoever waits for a body, or for a client to
        # leave.
        reader = asyncio.current_task()
        readers = self.state.readers
        if ENDS_ITSELF not in self.scope:
            readers.add(reader)
        try:
            message = await self._receive()
        finally:
            readers.discard(reader)
            # A cancelled reader holds its traceback, and so this frame,
            # which must not hold the reader: again a cycle.
            del reader

        self.ended = not message.get("more_body")
        self.received += len(message.get("body", b""))
        return message

    def _check_size(self) -> None:
        if max(self.declared, self.received) > self.limit:
            raise HTTPException(413, f"The body has more than {self.limit} bytes.")
