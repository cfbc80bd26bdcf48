"""Before any route: the rate limit, then the body limit.

Of several refusals, the first in one order is answered.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any
from unittest import mock

import httpx
import pytest
from fastapi import Depends, FastAPI, Request, Response, WebSocket
from freezegun import freeze_time
from starlette.middleware import Middleware
from starlette.routing import Route

from taskmanager import executors, testing
from taskmanager.api import create_app
from taskmanager.testing import receive_from, run_in_virtual_time, scope_of
from tests.helpers import (
    SUM,
    UNKNOWN,
    Gate,
    chunked,
    client_of,
    running,
    serving,
    settings,
    settle,
)

JSON = {"Content-Type": "application/json"}
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


async def messages_of(app: FastAPI, scope: dict[str, Any]) -> list[Any]:
    """What the application sends to a client that sends no body."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive_from(b"", asyncio.Event()), send)
    return sent


async def test_ten_a_minute_and_then_429_until_retry_after() -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with serving(rate_limit=10) as client:
            for left in range(9, -1, -1):
                answer = await client.get("/tasks")
                assert answer.status_code == 200
                assert answer.headers["ratelimit-policy"] == '"default";q=10;w=60'
                assert answer.headers["ratelimit"] == f'"default";r={left};t=60'

            frozen.tick(12.5)
            answer = await client.get("/tasks")
            assert answer.status_code == 429
            assert answer.headers["ratelimit"] == '"default";r=0;t=48'
            assert answer.headers["retry-after"] == "48"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json() == {
                "type": QUOTA_EXCEEDED,
                "title": "Quota exceeded",
                "status": 429,
                "detail": "The next request is accepted in 48 s.",
                "code": "rate_limited",
                "violated-policies": ["default"],
            }

            frozen.tick(47.499)
            assert (await client.get("/tasks")).status_code == 429

            frozen.tick(0.501)
            assert (await client.get("/tasks")).status_code == 200


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (74, 74),
        (75, 76),
        (76, 76),
    ],
)
async def test_retry_after_is_never_when_an_idle_connection_is_closed(
    seconds: int, told: int
) -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with serving(rate_limit=1, rate_window=100) as client:
            await client.get("/tasks")
            frozen.tick(100 - seconds)
            answer = await client.get("/tasks")
            assert answer.headers["ratelimit"] == f'"default";r=0;t={seconds}'
            assert answer.headers["retry-after"] == str(told)

            frozen.tick(told)
            assert (await client.get("/tasks")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks"),
        ("POST", "/tasks"),
        ("PUT", "/tasks"),
        ("GET", "/tasks/x"),
        ("GET", "/tasks/"),
        ("A", "/tasks/a/b"),
    ],
)
async def test_whatever_comes_to_tasks_counts(method: str, path: str) -> None:
    async with serving(rate_limit=2) as client:
        answer = await client.request(method, path)
        assert answer.headers["ratelimit"] == '"default";r=1;t=60'
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("root_path", "path", "counted"),
    [
        ("", "/tasks", True),
        ("", "/tasksfoo", False),
        # A server that puts the root path before each path, as uvicorn.
        ("/", "//tasks", True),
        ("//", "///tasks/x", True),
        ("/api", "/api/tasks", True),
        ("/api/", "/api//tasks", True),
        ("/t", "/t/tasks", True),
        ("/tasks", "/tasks/tasks", True),
        ("/tasks", "/tasks/health", False),
        # One that does not.
        ("/", "/tasks", True),
        ("/t", "/tasks", True),
        ("/t", "/tasks/x", True),
        ("/ta", "/tasksfoo", False),
        ("/api", "/tasks", True),
        ("/api/", "/tasks/x", True),
        # What only looks like it.
        ("/api", "/apix/tasks", False),
        ("/api", "/api", False),
        ("/tasks", "/tasks", False),
        # A line break at the end is a part of the path.
        ("", "/tasks\n", False),
        ("/t", "/t/tasks\n", False),
        ("", "/tasks/x/events\n", True),
    ],
)
async def test_what_counts_is_what_the_router_takes_for_tasks(
    root_path: str, path: str, counted: bool
) -> None:
    async with running(rate_limit=2) as app:
        scope = scope_of("GET", path) | {"root_path": root_path}
        head, *_ = await messages_of(app, scope)
        assert (b"ratelimit" in dict(head["headers"])) is counted
        if path.endswith("/tasks") and counted:
            assert head["status"] == 200
        elif not path.endswith("/health"):
            assert head["status"] in (400, 404)


async def test_a_path_behind_a_root_path_counts_too() -> None:
    async with running(rate_limit=2) as app:
        transport = httpx.ASGITransport(app=app, root_path="/jobs")
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test"
        ) as client:
            answer = await client.get("/jobs/tasks")
            assert answer.headers["ratelimit"] == '"default";r=1;t=60'

            answer = await client.get("/jobs/health")
            assert "ratelimit" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/tasksfoo",
        "/nothing",
    ],
)
async def test_the_rest_is_free(path: str) -> None:
    async with serving(rate_limit=1) as client:
        for _ in range(3):
            answer = await client.get(path)
            assert answer.status_code != 429
            assert "ratelimit" not in answer.headers


async def test_each_address_is_a_client_of_its_own() -> None:
    expected = {
        "10.0.0.1": 200,
        "10.0.0.2": 200,
        "::ffff:10.0.0.1": 429,
        "2001:db8::1": 200,
        "2001:db8::2": 429,
        "2001:db8:0:1::1": 200,
    }
    async with running(rate_limit=1) as app:
        for address, status in expected.items():
            async with client_of(app, address) as client:
                assert (await client.get("/tasks")).status_code == status, address


async def test_forwarding_headers_are_not_read() -> None:
    async with serving(rate_limit=1) as client:
        forged = [
            await client.get("/tasks", headers={"X-Forwarded-For": f"10.0.0.{n}"})
            for n in range(2)
        ]
        assert [answer.status_code for answer in forged] == [200, 429]


async def test_off_drops_the_headers_too() -> None:
    async with serving(rate_limit=None) as client:
        answers = [await client.get("/tasks") for _ in range(20)]
        for answer in answers:
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
            assert "ratelimit-policy" not in answer.headers


async def test_a_request_without_an_address_has_a_limit_too() -> None:
    async with running(rate_limit=1) as app:
        statuses = []

        async def send(message: dict[str, Any]) -> None:
            statuses.append(message.get("status"))

        scope = scope_of("PUT", "/tasks")
        for client in (None, (None, None), ("", 0)):
            await app(scope | {"client": client}, asyncio.Event().wait, send)

        assert [status for status in statuses if status] == [405, 429, 429]


@pytest.mark.parametrize(("extra", "status"), [(0, 202), (1, 413)])
async def test_the_body_limit_is_exact(extra: int, status: int) -> None:
    body = b'{"task_type": "compute_sum", "parameters": {"numbers": [1]}}'
    async with serving(max_body=200) as client:
        padded = body + b" " * (200 - len(body) + extra)
        answer = await client.post("/tasks", content=padded, headers=JSON)
        assert answer.status_code == status

        parts = chunked(padded[:150], padded[150:])
        answer = await client.post("/tasks", content=parts, headers=JSON)
        assert answer.status_code == status

        if status == 413:
            assert answer.json()["detail"] == "The body has more than 200 bytes."


@pytest.mark.parametrize(
    ("headers", "reads"),
    [
        ([(b"content-length", b"1000")], 0),
        ([(b"transfer-encoding", b"chunked")], 3),
    ],
)
async def test_a_body_over_the_limit_is_refused_before_its_end(
    headers: list[Any], reads: int
) -> None:
    async with running(max_body=250) as app:
        reads_made = 0
        reads_before: list[int] = []

        async def receive() -> dict[str, Any]:
            nonlocal reads_made
            reads_made += 1
            return {"type": "http.request", "body": b"x" * 100, "more_body": True}

        async def send(message: dict[str, Any]) -> None:
            reads_before.append(reads_made)
            if message["type"] == "http.response.start":
                assert message["status"] == 413

        await app(scope_of("POST", "/tasks") | {"headers": headers}, receive, send)
        start, body, _ = reads_before
        assert start == reads
        assert body == reads


@pytest.mark.parametrize(
    "length",
    [
        b"",
        b"x",
        b"-5",
        b"5, 5",
        "\u0665".encode(),
    ],
)
@pytest.mark.parametrize(("max_body", "status"), [(200, 202), (50, 413)])
async def test_a_length_that_is_no_number_counts_as_unknown(
    length: bytes, max_body: int, status: int
) -> None:
    async with running(max_body=max_body) as app:
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        body = receive_from(json.dumps(SUM).encode(), asyncio.Event())
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope_of("POST", "/tasks", headers=headers), body, send)
        head, _ = sent
        assert head["status"] == status


@pytest.mark.parametrize("more", [True, False])
def test_a_request_that_waits_for_its_body_is_answered_at_the_stop(more: bool) -> None:
    run_in_virtual_time(wait_for_a_body_and_stop(more))


async def wait_for_a_body_and_stop(more: bool) -> None:
    async with running() as app:
        sent: list[dict[str, Any]] = []
        parts = []
        if more:
            parts = [{"type": "http.request", "body": b"{", "more_body": True}]

        async def receive() -> dict[str, Any]:
            if parts:
                return parts.pop()
            await asyncio.Event().wait()
            return {}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        request = asyncio.create_task(app(scope_of("POST", "/tasks"), receive, send))
        await settle()
        app.state.stop()
        await request

        start, body, *_ = sent
        assert start["status"] == 503
        assert json.loads(body["body"])["detail"] == "The server is shutting down."


async def test_a_request_cancelled_for_another_reason_is_cancelled() -> None:
    async with running() as app:
        request = asyncio.create_task(
            app(scope_of("POST", "/tasks"), asyncio.Event().wait, asyncio.Event().wait)
        )
        await settle()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request


async def read_only_the_head(message: dict[str, Any]) -> None:
    if message["type"] == "http.response.body":
        await asyncio.Event().wait()


async def test_a_response_that_nobody_reads_is_cut_off_quietly_at_the_stop() -> None:
    async with running() as app:
        listing = asyncio.create_task(
            app(scope_of("GET", "/tasks"), asyncio.Event().wait, read_only_the_head)
        )
        await settle()
        app.state.manager.begin_stop()
        listing.cancel()
        await listing


async def test_a_failure_in_the_middle_of_a_response_is_left_to_the_server() -> None:
    async with running() as app:
        begun = []

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                raise OSError("the connection is gone")

            begun.append(message["status"])

        with pytest.raises(OSError, match="gone"):
            await app(scope_of("PUT", "/tasks"), asyncio.Event().wait, send)

        assert begun == [405]


async def test_a_response_that_is_cancelled_for_another_reason_is_cancelled() -> None:
    async with running() as app:
        listing = asyncio.create_task(
            app(scope_of("GET", "/tasks"), asyncio.Event().wait, read_only_the_head)
        )
        await settle()
        listing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listing


BIG = b"x" * 1000
FULL = {"workers": 1, "queue_size": 1, "max_body": 500}


@pytest.mark.parametrize(
    ("method", "path", "content", "state", "status"),
    [
        # 429 comes before 404.
        ("POST", "/tasks/a/b", BIG, {"limited"}, 429),
        ("PUT", "/tasks", BIG, {"limited"}, 429),
        # 404 and 405 of routes come before 413.
        ("POST", "/tasks/a/b", BIG, set(), 404),
        ("PUT", "/tasks", BIG, set(), 405),
        # 413 comes before 503 shutting_down.
        ("POST", "/tasks", BIG, {"stopping"}, 413),
        # 503 shutting_down comes before 400.
        ("POST", "/tasks", b"{", {"stopping"}, 503),
        # 400 comes before 503 queue_full.
        ("POST", "/tasks", b"{", {"full"}, 400),
        # 400 comes before 404 task_not_found.
        ("GET", f"/tasks/{UNKNOWN}?since=-1", b"", set(), 400),
    ],
)
async def test_one_order_decides(
    gate: Gate, method: str, path: str, content: bytes, state: set[str], status: int
) -> None:
    async with (
        running(**FULL, rate_limit=3) as app,
        client_of(app, "10.0.0.1") as filler,
        client_of(app) as client,
    ):
        if "full" in state:
            # One is for the worker, one for the queue.
            for _ in range(2):
                assert (await filler.post("/tasks", json=SUM)).status_code == 202
                await settle()

        if "limited" in state:
            for _ in range(3):
                await filler.get("/tasks")

        if "stopping" in state:
            app.state.manager.begin_stop()

        answer = await client.request(method, path, content=content, headers=JSON)
        assert answer.status_code == status


async def test_names_of_headers_are_in_small_letters_as_asgi_asks() -> None:
    async with running(rate_limit=10) as app:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope_of("GET", "/tasks"), asyncio.Event().wait, send)
        head, *_ = sent
        names = [name for name, _ in head["headers"]]
        assert {b"ratelimit", b"ratelimit-policy", b"cache-control"} <= set(names)
        assert all(name == name.lower() for name in names)


async def test_a_stop_before_the_body_says_so() -> None:
    async with running() as app, client_of(app) as client:
        app.state.manager.begin_stop()
        answer = await client.post("/tasks", json=SUM)
        assert answer.status_code == 503
        assert answer.json()["detail"] == "The server is shutting down."


@pytest.mark.parametrize("telemetry", ["off", "on"])
@pytest.mark.parametrize("path", ["/tasks", f"/tasks/{UNKNOWN}", "/health"])
async def test_routes_of_tasks_are_called_directly_where_no_telemetry_listens(
    telemetry: str, path: str
) -> None:
    async with running(telemetry=telemetry) as app:
        scope = scope_of("GET", path)
        await messages_of(app, scope)

    # The application's router leaves itself in each scope.
    is_direct = path != "/health" and telemetry == "off"
    assert ("router" not in scope) is is_direct


async def test_routes_of_ones_own_beside_those_of_tasks_are_fastapis() -> None:
    class NotMineError(Exception):
        pass

    async def resource() -> AsyncIterator[str]:
        yield "open"
        closed.append("closed")

    async def explain(request: Request, error: Exception) -> Response:
        return Response("explained", 418)

    closed: list[str] = []
    async with running(rate_limit=10) as app, client_of(app) as client:
        app.add_exception_handler(NotMineError, explain)

        @app.patch("/tasks/{task_id}")
        async def mine(
            task_id: str, number: int, given: Annotated[str, Depends(resource)]
        ) -> str:
            if number < 0:
                raise NotMineError
            return given

        answer = await client.patch("/tasks/1?number=1")
        assert (answer.status_code, answer.json()) == (200, "open")
        assert closed == ["closed"]
        assert "ratelimit" in answer.headers

        assert (await client.patch("/tasks/1?number=-1")).text == "explained"
        assert (await client.patch("/tasks/1?number=x")).status_code == 400
        refused = await client.put("/tasks/1")
        assert refused.status_code == 405
        assert refused.headers["allow"] == "DELETE, GET, PATCH"


@pytest.mark.parametrize("telemetry", ["off", "on"])
async def test_a_route_put_in_front_of_the_engines_replaces_it(telemetry: str) -> None:
    async def mine(request: Request) -> Response:
        return Response("mine")

    async with running(telemetry=telemetry) as app, client_of(app) as client:
        task_id = (await client.post("/tasks", json=SUM)).json()["task_id"]
        app.router.routes.insert(0, Route("/tasks/{task_id}", mine))

        answer = await client.get(f"/tasks/{task_id}")
        assert answer.text == "mine"
        assert answer.headers["cache-control"] == "no-store"
        answer = await client.delete(f"/tasks/{task_id}")
        assert answer.json()["status"] == "cancelled"


@pytest.mark.parametrize("telemetry", ["off", "on"])
async def test_a_route_that_is_taken_out_is_served_no_more(telemetry: str) -> None:
    async with running(telemetry=telemetry) as app, client_of(app) as client:
        task_id = (await client.post("/tasks", json=SUM)).json()["task_id"]
        app.router.routes[:] = [
            route
            for route in app.routes
            if getattr(route, "name", None) != "cancel_task"
        ]

        refused = await client.delete(f"/tasks/{task_id}")
        assert refused.status_code == 405
        assert (await client.get(f"/tasks/{task_id}")).status_code == 200


async def test_a_middleware_put_in_between_is_not_passed_over() -> None:
    class Refusing:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, *call: Any) -> None:
            await Response("refused", 401)(*call)

    async with running() as app, client_of(app) as client:
        app.user_middleware.append(Middleware(Refusing))
        assert (await client.get("/tasks")).status_code == 401


async def test_an_engine_in_an_engine_answers() -> None:
    async with running() as inner, running() as outer, client_of(outer) as client:
        outer.mount("/inner", inner)
        assert (await client.get("/inner/tasks")).json() == []


async def test_at_the_stop_who_does_not_read_an_error_is_no_error() -> None:
    async def reads_nothing(message: Any) -> None:
        await asyncio.Event().wait()

    async with running() as app:
        receive = receive_from(b"", asyncio.Event())
        answering = asyncio.create_task(
            app(scope_of("GET", "/tasks/no-uuid"), receive, reads_nothing)
        )
        await settle()
        app.state.stop()
        answering.cancel()
        await answering
        assert not answering.cancelled()


async def test_at_the_stop_a_route_of_ones_own_still_gets_its_body() -> None:
    async with running() as app, client_of(app) as client:

        @app.post("/mine")
        async def mine(request: Request) -> Response:
            return Response(await request.body())

        app.state.manager.begin_stop()
        answer = await client.post("/mine", content=b"hello")
        assert (answer.status_code, answer.content) == (200, b"hello")


async def test_a_lifespan_that_fails_lets_nobody_wait_for_a_body() -> None:
    app = create_app(settings())
    requests: list[asyncio.Task[None]] = []
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def serve_and_fail() -> None:
        async with app.router.lifespan_context(app):
            call = app(scope_of("POST", "/tasks"), asyncio.Event().wait, send)
            requests.append(asyncio.create_task(call))
            await settle()
            raise OSError("the server fails")

    with pytest.raises(OSError, match="the server fails"):
        await serve_and_fail()
    [request] = requests
    assert request.done()
    head, *_ = sent
    assert head["status"] == 503


# An application whose lifespan has not run


NEEDS_THE_ENGINE = [
    ("GET", "/health"),
    ("HEAD", "/health"),
    ("POST", "/tasks"),
    ("GET", f"/tasks/{UNKNOWN}"),
    ("PUT", "/tasks"),
    ("GET", "/nothing"),
    ("GET", "/docs/"),
    ("GET", "/docs/nothing"),
    ("GET", "/redocs"),
    ("GET", "/openapi.json.bak"),
]


def mounted_without_lifespan() -> tuple[FastAPI, str]:
    outer = FastAPI()
    outer.mount("/below", create_app(settings()))
    return outer, "/below"


@pytest.mark.parametrize("mounted", [False, True])
async def test_without_its_lifespan_it_says_so(
    mounted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app, prefix = create_app(settings()), ""
    if mounted:
        app, prefix = mounted_without_lifespan()

    async with client_of(app) as client:
        for method, path in NEEDS_THE_ENGINE:
            answer = await client.request(method, prefix + path)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["cache-control"] == "no-store"
            assert "retry-after" not in answer.headers
            assert "ratelimit" not in answer.headers
            if method != "HEAD":
                assert answer.json()["code"] == "not_started"
                assert "lifespan has not run" in answer.json()["detail"]

        for path in ("/docs", "/redoc", "/openapi.json"):
            assert (await client.get(prefix + path)).status_code == 200
        assert (await client.get(prefix + "/")).status_code == 307

    # asyncio may tell of what another test has left.
    (told,) = [
        record.message for record in caplog.records if record.name.startswith("task")
    ]
    assert "lifespan has not run" in told


async def test_an_application_whose_start_has_failed_takes_no_tasks() -> None:
    class Unreachable(ThreadPoolExecutor):
        def __enter__(self) -> "Unreachable":
            raise OSError("no cluster")

    app = create_app(settings())
    with (
        mock.patch.object(executors, "new_executor", return_value=Unreachable()),
        pytest.raises(OSError, match="no cluster"),
    ):
        async with app.router.lifespan_context(app):
            pass

    async with client_of(app) as client:
        answer = await client.post("/tasks", json=SUM)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_started")
        assert (await client.get("/health")).status_code == 503


async def test_a_stopped_application_answers() -> None:
    app = create_app(settings())
    async with app.router.lifespan_context(app):
        pass

    async with client_of(app) as client:
        answer = await client.post("/tasks", json=SUM)
        assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
        for path in ("/health", "/tasks"):
            answer = await client.get(path)
            assert answer.status_code == 503
            assert answer.json()["code"] == "shutting_down"
            assert answer.headers["retry-after"] == "5"
            assert answer.headers["cache-control"] == "no-store"
        assert (await client.head("/health")).status_code == 503
        assert (await client.get("/openapi.json")).status_code == 200


async def test_a_mounted_application_works_whose_lifespan_is_entered() -> None:
    inner = create_app(settings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with inner.router.lifespan_context(inner):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/below", inner)
    async with outer.router.lifespan_context(outer), client_of(outer) as client:
        answer = await client.post("/below/tasks", json=SUM)
        assert answer.status_code == 202
        assert (await client.get(answer.headers["location"])).status_code == 200


# The rest of a body that nobody needs


class Client:
    """Sends a body in pieces, for ever, and keeps what it is told.

    ``wait`` stands before each piece.
    """

    def __init__(self, app: FastAPI, wait: Any, piece: int = 1) -> None:
        self.app = app
        self.wait = wait
        self.piece = piece
        self.asked = False
        self.pieces = 0
        self.received: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        self.asked = True
        await self.wait()
        self.pieces += 1
        return {"type": "http.request", "body": b"x" * self.piece, "more_body": True}

    async def send(self, message: Any) -> None:
        self.received.append(message)

    async def request(
        self, method: str = "PUT", path: str = "/tasks", *headers: tuple[bytes, bytes]
    ) -> None:
        given = list(headers or [(b"content-length", b"100000000")])
        await self.app(scope_of(method, path, headers=given), self.receive, self.send)

    def has_the_answer(self) -> bool:
        """Whether it has all that Content-Length says.

        And it is told that the connection will be closed.
        """
        head, *bodies = self.received
        headers = dict(head["headers"])
        body = b"".join(message.get("body", b"") for message in bodies)
        complete = headers[b"content-length"] == b"%d" % len(body)
        return complete and headers[b"connection"] == b"close"

    def is_done(self) -> bool:
        """Whether the server knows that the response is complete."""
        *_, last = self.received
        return not last.get("more_body", False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/tasks", 405),
        ("POST", "/tasks", 413),
        ("POST", "/tasks/a/b", 404),
        ("POST", "/health", 405),
        ("POST", "/nothing", 404),
        ("GET", "/health", 200),
        ("GET", "/", 307),
        ("HEAD", "/health", 200),
    ],
)
def test_the_answer_is_sent_at_once_and_two_seconds_of_the_body_are_dropped(
    method: str, path: str, status: int
) -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        async with running() as app:
            client = Client(app, partial(asyncio.sleep, 0.3))
            begun = loop.time()
            request = asyncio.create_task(client.request(method, path))
            await settle()

            head, *_ = client.received
            assert head["status"] == status
            assert client.has_the_answer()
            assert not client.is_done()
            assert loop.time() == begun

            await request
            assert client.is_done()
            assert loop.time() == begun + 2
            assert client.pieces == 6

    run_in_virtual_time(play())


async def test_the_length_of_the_rest_may_be_unknown() -> None:
    async with running() as app:
        client = Client(app, partial(asyncio.sleep, 0), piece=2**20)
        await client.request("PUT", "/tasks", (b"transfer-encoding", b"chunked"))
        assert client.asked
        assert client.is_done()


@pytest.mark.parametrize(
    ("started", "status", "seconds"), [(False, 503, 2), (True, 413, 0.5)]
)
def test_the_rest_is_dropped_without_an_engine_and_for_a_while_at_the_stop(
    started: bool, status: int, seconds: float
) -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        app = create_app(settings())
        if started:
            async with testing.running(app):
                pass

        client = Client(app, partial(asyncio.sleep, 0.2))
        begun = loop.time()
        request = asyncio.create_task(client.request("POST"))
        await settle()
        head, *_ = client.received
        assert head["status"] == status
        assert client.has_the_answer()
        assert not client.is_done()

        await request
        assert client.is_done()
        assert loop.time() == pytest.approx(begun + seconds)

    run_in_virtual_time(play())


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_the_stop_ends_a_wait_that_has_hardly_begun(method: str, turns: int) -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        async with running() as app:
            client = Client(app, asyncio.Event().wait)
            length = (b"content-length", b"10")
            request = asyncio.create_task(client.request(method, "/tasks", length))
            for _ in range(turns):
                await asyncio.sleep(0)

            stopped = loop.time()
            app.state.stop()
            await request
            assert client.is_done()
            assert loop.time() <= stopped + 0.5

    run_in_virtual_time(play())


def test_who_is_refused_at_the_stop_may_send_on_for_a_while() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        async with running() as app:
            stopped = loop.time() + 0.3
            client = Client(app, partial(asyncio.sleep, 0.1))
            loop.call_at(stopped, app.state.stop)
            await client.request("POST", "/tasks", (b"content-length", b"1000"))

            head, *_ = client.received
            assert head["status"] == 503
            assert client.has_the_answer()
            assert client.is_done()
            assert loop.time() == pytest.approx(stopped + 0.5)

    run_in_virtual_time(play())


async def test_a_stream_ends_once_where_the_body_ends_meanwhile() -> None:
    async with running() as app:
        begun = asyncio.Event()
        ended = asyncio.Event()
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await begun.wait()
            if ended.is_set():
                await asyncio.Event().wait()
            ended.set()
            return {"type": "http.request", "body": b"x", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body":
                begun.set()
                await ended.wait()

        app.state.manager.submit(SUM)
        headers = [(b"content-length", b"1")]
        await app(scope_of("GET", "/tasks", headers=headers), receive, send)
        _, *bodies = sent
        assert len(bodies) > 1
        assert [each for each in bodies if not each.get("more_body")] == bodies[-1:]


async def test_429_waits_for_the_rest_too() -> None:
    async with running(rate_limit=1) as app:
        gate = asyncio.Event()
        for status in (405, 429):
            client = Client(app, gate.wait)
            request = asyncio.create_task(client.request())
            await settle()
            head, *_ = client.received
            assert head["status"] == status
            assert client.has_the_answer()
            assert not client.is_done()
            request.cancel()
            await asyncio.wait([request])


@pytest.mark.parametrize("piece", [1000, 65_536, 1_000_000])
async def test_no_more_than_a_mebibyte_of_a_body_is_dropped(piece: int) -> None:
    async with running() as app:
        client = Client(app, partial(asyncio.sleep, 0), piece)
        await client.request()
        assert client.is_done()
        # The last piece was read by the server already.
        assert 2**20 < client.pieces * piece <= 2**20 + piece


async def test_a_hundred_wait_for_the_rest_at_once_and_no_more() -> None:
    async with running() as app:
        gate = asyncio.Event()
        clients = [Client(app, gate.wait, piece=2**20) for _ in range(101)]
        requests = [asyncio.create_task(client.request()) for client in clients]
        await settle()
        assert all(client.has_the_answer() for client in clients)
        assert [client.is_done() for client in clients] == [False] * 100 + [True]

        # They go on, and the next one can wait.
        gate.set()
        await asyncio.gather(*requests)
        assert all(client.is_done() for client in clients)
        gate.clear()
        client = Client(app, gate.wait, piece=2**20)
        last = asyncio.create_task(client.request())
        await settle()
        assert not client.is_done()
        gate.set()
        await last
        # None is counted that waits no more.
        assert app.state.drains == 0


async def test_the_stop_ends_the_wait_for_the_rest_at_once() -> None:
    async with running() as app:
        client = Client(app, asyncio.Event().wait)
        request = asyncio.create_task(client.request())
        await settle()
        assert not client.is_done()

        app.state.stop()
        await request
        assert client.is_done()


async def test_who_waits_for_100_continue_is_not_told_to_send_the_body() -> None:
    async with running(max_body=10) as app:
        for method, path in [("POST", "/tasks"), ("PUT", "/tasks"), ("POST", "/x")]:
            # It may send the body all the same, and not as a request.
            client = Client(app, asyncio.Event().wait)
            await client.request(
                method, path, (b"content-length", b"1000"), (b"expect", b"100-continue")
            )
            assert client.has_the_answer()
            assert client.is_done()
            assert not client.asked


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/health", []),
        ("PUT", "/tasks", []),
        ("POST", "/tasks", []),
        ("PUT", "/tasks", [(b"content-length", b"0")]),
    ],
)
async def test_where_there_is_no_body_the_last_message_is_not_held_back(
    method: str, path: str, headers: list[Any]
) -> None:
    async with running() as app:
        scope = scope_of(method, path, headers=headers)
        head, _ = await messages_of(app, scope)
        assert b"connection" not in dict(head["headers"])


async def test_blanks_around_a_value_are_no_part_of_it() -> None:
    async with running(max_body=100) as app, client_of(app) as client:
        headers = {
            "Content-Type": " application/json\t ",
            "Content-Encoding": "identity ",
            "Idempotency-Key": '\t"k" ',
        }
        answer = await client.post("/tasks", json=SUM, headers=headers)
        assert answer.status_code == 202
        again = await client.post(
            "/tasks", json=SUM, headers={"Idempotency-Key": '"k"'}
        )
        assert again.json()["task_id"] == answer.json()["task_id"]

        # It is known to be too long before a byte is read.
        headers_of_a_long_one = [(b"content-length", b"101 ")]
        scope = scope_of("POST", "/tasks", headers=headers_of_a_long_one)
        head, *_ = await messages_of(app, scope)
        assert head["status"] == 413

        # All else is: this is no empty name of a coding.
        headers = {"Content-Encoding": " X "}
        answer = await client.post("/tasks", json=SUM, headers=headers)
        assert answer.status_code == 400


async def test_once_the_body_has_been_read_nobody_waits_for_more() -> None:
    async with running() as app:
        body = json.dumps(SUM).encode()
        length = (b"content-length", b"%d" % len(body))
        read_to_its_end = receive_from(body, asyncio.Event())
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json"), length]
        await app(scope_of("POST", "/tasks", headers=headers), read_to_its_end, send)
        head, last = sent
        assert head["status"] == 202
        assert b"connection" not in dict(head["headers"])
        assert "more_body" not in last

        # A long poll, which reads it only to see whether the client is
        # there.
        path = dict(head["headers"])[b"location"].decode()
        scope = scope_of("GET", path, query="wait=true&since=9", headers=[length])
        poll = app(scope, receive_from(body, asyncio.Event()), send)
        await asyncio.wait_for(poll, 5)
        _, _, head, last = sent
        assert head["status"] == 200
        assert "more_body" not in last


async def test_a_client_that_goes_away_is_not_waited_for() -> None:
    async with running() as app:
        client = Client(app, None)

        async def leave() -> dict[str, Any]:
            client.pieces += 1
            return {"type": "http.disconnect"}

        client.receive = leave  # type: ignore[method-assign]
        await client.request()
        assert client.pieces == 1
        assert client.is_done()


# WebSocket handshakes


def handshake(path: str, *, with_response: bool = True) -> dict[str, Any]:
    scope = scope_of("GET", path, headers=[(b"upgrade", b"websocket")])
    del scope["method"]
    scope |= {"type": "websocket", "scheme": "ws", "subprotocols": []}
    if with_response:
        scope["extensions"] = {"websocket.http.response": {}}
    return scope


@pytest.mark.parametrize("path", ["/tasks", "/tasks/", f"/tasks/{UNKNOWN}", "/tasks/a"])
async def test_handshakes_count_like_any_request(path: str) -> None:
    async with running(rate_limit=2) as app, client_of(app) as client:
        for left, status, code in [
            (1, 404, "not_found"),
            (0, 404, "not_found"),
            (0, 429, "rate_limited"),
        ]:
            head, body = await messages_of(app, handshake(path))
            assert head["type"] == "websocket.http.response.start"
            assert head["status"] == status
            headers = dict(head["headers"])
            assert headers[b"content-type"] == b"application/problem+json"
            assert headers[b"cache-control"] == b"no-store"
            assert headers[b"ratelimit-policy"] == b'"default";q=2;w=60'
            assert headers[b"ratelimit"] == b'"default";r=%d;t=60' % left
            assert (b"retry-after" in headers) == (status == 429)

            assert body["type"] == "websocket.http.response.body"
            assert not body.get("more_body", False)
            assert json.loads(body["body"])["code"] == code

        assert (await client.get("/tasks")).status_code == 429


async def test_handshakes_to_other_paths_are_refused_and_free() -> None:
    paths = [
        "/",
        "/ws",
        "/tasksfoo",
        "/health",
        "/docs",
        "/static-offline-docs",
        "/static-offline-docs/",
        "/static-offline-docs/favicon.png",
        "/static-offline-docs/nothing",
    ]
    async with running(rate_limit=1) as app:
        for path in paths:
            head, body = await messages_of(app, handshake(path))
            assert head["status"] == 404
            assert b"ratelimit" not in dict(head["headers"])
            assert json.loads(body["body"])["code"] == "not_found"

            closed = await messages_of(app, handshake(path, with_response=False))
            assert closed == [{"type": "websocket.close"}]


async def test_a_handshake_that_cannot_be_answered_is_closed_and_counts() -> None:
    async with running(rate_limit=2) as app, client_of(app) as client:
        for _ in range(3):
            messages = await messages_of(app, handshake("/tasks", with_response=False))
            assert messages == [{"type": "websocket.close"}]
        assert (await client.get("/tasks")).status_code == 429

        for extensions in ({}, {"tls": {}}, None):
            scope = handshake("/ws") | {"extensions": extensions}
            messages = await messages_of(app, scope)
            assert messages == [{"type": "websocket.close"}]


@pytest.mark.parametrize("with_response", [True, False])
async def test_a_websocket_route_of_ones_own_works(with_response: bool) -> None:
    app = create_app(settings())

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        raise OSError("after that, it fails")

    async with testing.running(app):
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        scope = handshake("/echo", with_response=with_response)
        with pytest.raises(OSError, match="after that"):
            await app(scope, receive, send)
        assert [each["type"] for each in sent] == ["websocket.accept", "websocket.send"]


async def test_a_handshake_before_the_lifespan_is_told_so() -> None:
    app = create_app(settings())
    head, body = await messages_of(app, handshake("/tasks"))
    assert head["status"] == 503
    assert json.loads(body["body"])["code"] == "not_started"


@pytest.mark.parametrize("begun", [b"", b'{"a'])
async def test_a_client_that_leaves_in_its_body_is_no_error(
    begun: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [
        {"type": "http.request", "body": begun, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    sent = mock.AsyncMock()
    async with running() as app:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"50"),
        ]
        await app(scope_of("POST", "/tasks", headers=headers), receive, sent)

    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    sent.assert_not_called()
