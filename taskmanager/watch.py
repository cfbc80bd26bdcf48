"""Watch: the routes of whoever watches: a task's events, the board, and
the page that shows it.

Rule: a stream is counted from its start to its end, whoever ends it.
The page asks nobody but this server, and runs no script but its own.
Notebook: 05-polling.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from taskmanager import events, openapi, schemas
from taskmanager.errors import TooManyStreamsError
from taskmanager.events import Event, Feed, Follow, Place
from taskmanager.manager import TaskManager
from taskmanager.middleware import ENDS_ITSELF, SEND_ON, address_of
from taskmanager.ratelimit import client_key
from taskmanager.routing import PlainRoute
from taskmanager.task import Task

# Open streams of one client, and open boards.
MOST_OF_A_CLIENT = 20
MOST_BOARDS = 100
# Seconds after which a refused stream may come again.
RETRY_SECONDS = 5

# Its type has no charset, since there is but one; and nginx, like those
# that follow its example, passes it on as it comes.
STREAM_HEADERS = (
    (b"content-type", schemas.EVENTS.encode()),
    (b"x-accel-buffering", b"no"),
)
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
MEDIA_TYPES = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.mjs": "text/javascript",
}
FILES = {
    name: Path(__file__).with_name("live").joinpath(name).read_bytes()
    for name in MEDIA_TYPES
}

router = APIRouter(tags=["tasks"], route_class=PlainRoute)
# Where TASKMANAGER_LIVE is on.
live_router = APIRouter(include_in_schema=False)


# Whoever reads it has everything up to that place.
Stream: TypeAlias = tuple[Feed, Place]


class Streams:
    """The open streams of an application."""

    def __init__(self, manager: TaskManager) -> None:
        self.open = manager.streams
        self._manager = manager
        # Of each task that is watched; of None, the board.
        self._feeds: dict[Task | None, Feed] = {}

    @contextmanager
    def of_task(self, task: Task, client: str, last_seen: str) -> Iterator[Stream]:
        """The task as it is, and its events.

        Whoever has seen it as it is gets the events alone. Raises
        TooManyStreamsError.
        """
        with (
            self._counted("tasks", self._manager.settings.max_streams),
            self._counted(f"client {client}", MOST_OF_A_CLIENT),
        ):
            now = events.task_event(self._manager, task)
            follow = partial(events.task_events, self._manager, task)
            with self._feed(task, now, follow) as feed:
                feed.latest = now
                place = now.place if last_seen == events.event_id(task) else ()
                yield feed, place

    @contextmanager
    def of_board(self) -> Iterator[Stream]:
        """The boards. Raises TooManyStreamsError."""
        with self._counted("boards", MOST_BOARDS):
            now = events.board_event(self._manager)
            follow = partial(events.board_events, self._manager)
            with self._feed(None, now, follow) as feed:
                # Not a newer one, which only its reader had seen.
                yield feed, ()

    @contextmanager
    def _counted(self, name: str, most: int) -> Iterator[None]:
        if self.open[name] >= most:
            detail = "Too many streams are open: close one, or poll."
            raise TooManyStreamsError(detail, RETRY_SECONDS)

        self.open[name] += 1
        try:
            yield
        finally:
            self.open[name] -= 1
            if self.open[name] == 0:
                del self.open[name]

    @contextmanager
    def _feed(self, task: Task | None, now: Event, follow: Follow) -> Iterator[Feed]:
        """The one that all readers share, from first to last."""
        feed = self._feeds.get(task)
        if feed is None:
            feed = Feed(now, follow)
            self._feeds[task] = feed

        feed.readers += 1
        try:
            yield feed
        finally:
            feed.readers -= 1
            if feed.readers == 0:
                feed.telling.cancel()
                del self._feeds[task]


class EventStream(Response):
    """A response that is one of the Streams while it is being sent."""

    def __init__(self, opening: AbstractContextManager[Stream]) -> None:
        self.opening = opening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ENDS_ITSELF] = True
        # A server may raise OSError where the client has left.
        with suppress(OSError), self.opening as (feed, place):
            head = {"status": 200, "headers": [*STREAM_HEADERS]}
            await send({"type": "http.response.start"} | head)
            await feed.read(place, scope[SEND_ON], _disconnect(receive))
            await send({"type": "http.response.body"})


async def _disconnect(receive: Receive) -> None:
    """Return when the client has left."""
    kind = ""
    while kind != "http.disconnect":
        message = await receive()
        kind = message["type"]


@router.get(
    "/tasks/{task_id}/events",
    operation_id="watch_task",
    status_code=200,
    response_class=EventStream,
    response_description="The task as it is, and then each change",
    responses=schemas.STREAM | schemas.problems(400, 404, 503),
    openapi_extra=openapi.LAST_EVENT_ID,
)
async def watch_task(request: Request, task_id: UUID) -> Response:
    """Stream a task's states as server-sent events, up to its end.

    The `data` of each is the task, whose status or progress has
    changed. A slow reader gets the latest, and always the last.
    """
    state = request.app.state
    task = state.manager.get(str(task_id))
    client = client_key(address_of(request.scope))
    last_seen = request.headers.get("last-event-id", "")
    return EventStream(state.streams.of_task(task, client, last_seen))


@live_router.get("/events")
async def watch_board(request: Request) -> Response:
    """Stream what the page shows: the latest, ten times a second."""
    request.app.state.manager.check_running()
    return EventStream(request.app.state.streams.of_board())


@live_router.get("/live")
@live_router.get("/live/{name}")
async def page(name: str = "page.html") -> Response:
    """The page, and what it loads: its style and its script."""
    if name not in FILES:
        raise HTTPException(404)
    return Response(FILES[name], headers=PAGE_HEADERS, media_type=MEDIA_TYPES[name])
