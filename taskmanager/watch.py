"""Watch: the routes of whoever watches: a task's events, the board, and
the page that shows it.

Rule: a stream is counted from its start to its end, whoever ends it.
The page asks nobody but this server, and runs no script but its own.
Notebook: 05-polling.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from taskmanager import events, openapi, schemas
from taskmanager.errors import TooManyStreamsError
from taskmanager.events import Event, Feed, Next
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
STREAM_HEADERS = {"Content-Type": schemas.EVENTS, "X-Accel-Buffering": "no"}
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


Opened = AbstractContextManager[Feed]


class Streams:
    """The open streams of an application."""

    def __init__(self, manager: TaskManager) -> None:
        self.open = manager.streams
        self._manager = manager
        # Of each task that is watched, and of the board.
        self._feeds: dict[str, Feed] = {}

    def of_task(self, task: Task, client: str) -> Opened:
        """The task as it is, and its events."""
        limits = {
            "tasks": self._manager.settings.max_streams,
            f"client {client}": MOST_OF_A_CLIENT,
        }
        now = events.task_event(self._manager, task)
        next_event = partial(events.next_task_event, self._manager, task)
        return self._opened(task.task_id, limits, now, next_event)

    def of_board(self) -> Opened:
        """The boards."""
        now = events.board_event(self._manager)
        next_event = partial(events.next_board_event, self._manager)
        return self._opened("board", {"boards": MOST_BOARDS}, now, next_event)

    @contextmanager
    def _opened(
        self, name: str, limits: dict[str, int], now: Event, next_event: Next
    ) -> Iterator[Feed]:
        """The feed ``name``, and one stream more of it until the end.

        Raises TooManyStreamsError.
        """
        if any(self.open[each] >= most for each, most in limits.items()):
            raise TooManyStreamsError(
                "Too many streams are open: close one, or poll.", RETRY_SECONDS
            )

        feed = self._feeds.get(name) or Feed(now, next_event)
        # One that waits may show an older state.
        feed.latest = now
        self._feeds[name] = feed
        # One of each.
        streams = Counter(limits.keys())
        self.open += streams
        try:
            yield feed
        finally:
            self.open -= streams
            if not feed.readers:
                feed.telling.cancel()
                self._feeds.pop(name, None)


class EventStream(StreamingResponse):
    """A response that is one of the Streams while it is being sent.

    Starlette's has a task of its own for each, and one that listens for
    the client to leave (benchmarks: streams).
    """

    def __init__(self, opened: Opened, seen: str = "") -> None:
        super().__init__((), headers=STREAM_HEADERS)
        self.opened = opened
        self.seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ENDS_ITSELF] = True
        # A server may raise OSError where the client has left.
        with suppress(OSError), self.opened as feed:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": self.raw_headers,
                }
            )
            await feed.read(self.seen, scope[SEND_ON], receive)
            await send({"type": events.PART})


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
    return EventStream(state.streams.of_task(task, client), last_seen)


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
