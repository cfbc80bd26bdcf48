"""What happens to a request under /tasks before a route sees it: the
rate limit, then the body limit.

Rule: pure ASGI. A dependency would run after the body has been parsed,
so malformed ones would be free; BaseHTTPMiddleware would hide
disconnects, and costs more than all of this. Notebook:
05-rate-limiting.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskmanager import problems
from taskmanager.manager import TaskManager
from taskmanager.ratelimit import client_key
from taskmanager.settings import Settings


class TasksMiddleware:
    """Limits requests and bodies. It answers 500 too, since Starlette's
    own would lack the headers added here.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.policy = (
            f'"default";q={settings.rate_limit};w={settings.rate_window}'.encode()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = _Response(send)
        app, path = (
            self.app,
            scope.get("path", "").removeprefix(scope.get("root_path", "")),
        )
        if scope["type"] == "http" and (path == "/tasks" or path.startswith("/tasks/")):
            manager: TaskManager = scope["app"].state.manager
            response.headers.append((b"cache-control", b"no-store"))
            if (limiter := manager.limiter) is not None:
                host = scope["client"][0] if scope.get("client") else None
                decision = await limiter.hit(client_key(host), time.monotonic())
                response.headers.append((b"ratelimit-policy", self.policy))
                response.headers.append(
                    (b"ratelimit", b'"default";r=%d;t=%d' % decision[1:])
                )
                if not decision.allowed:
                    app = problems.rate_limited(decision.reset)
            # no other method has a body that a route would read
            if scope["method"] == "POST":
                receive = _limit_body(scope, receive, manager)
        try:
            await app(scope, receive, response)
        except asyncio.CancelledError:
            if not (response.started and scope["app"].state.manager.stopping):
                # else the server cuts off, at its stop, a response that
                # nobody reads
                raise
        except Exception as error:
            if response.started or scope["type"] != "http":
                # too late for an answer: the server logs it and closes
                # the connection
                raise
            logging.getLogger(__name__).exception("a request could not be answered")
            await (await problems.answer(Request(scope), error))(
                scope, receive, response
            )


@dataclass(slots=True)
class _Response:
    """A ``send`` that adds headers and knows whether it has begun;
    lighter than a closure, as long polls are many.
    """

    send: Send
    started: bool = False
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] += self.headers
        await self.send(message)


def _limit_body(scope: Scope, receive: Receive, manager: TaskManager) -> Receive:
    """A ``receive`` that raises 413 over MAX_BODY, and 503 at the stop,
    which cancels whoever waits for a body.
    """
    limit, received = manager.settings.max_body, 0
    declared = dict(scope["headers"]).get(b"content-length", b"")
    too_large = declared.isdigit() and int(declared) > limit

    async def limited_receive() -> Message:
        nonlocal received
        manager.body_readers.add(request := asyncio.current_task())
        try:
            message = {} if too_large else await receive()
            received += len(message.get("body", b""))
        except asyncio.CancelledError:
            if not manager.stopping:
                raise
        finally:
            manager.body_readers.discard(request)
        if too_large or received > limit:
            raise HTTPException(413, f"The body has more than {limit} bytes.")
        if manager.stopping:
            raise HTTPException(503, "The server is shutting down.")
        return message

    return limited_receive
