"""Before any route: the rate limit, then the body limit.

Of several refusals, the first in one order is answered.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from freezegun import freeze_time

from taskmanager.api import create_app
from taskmanager.testing import scope_of
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

        scope = scope_of("PUT", "/tasks") | {"client": None}
        for _ in range(2):
            await app(dict(scope), asyncio.Event().wait, send)

        assert [status for status in statuses if status] == [405, 429]


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
    ("headers", "reads"), [([(b"content-length", b"1000")], 0), ([], 3)]
)
async def test_a_body_over_the_limit_is_not_read_to_its_end(
    headers: list[Any], reads: int
) -> None:
    async with running(max_body=250) as app:
        reads_made = 0
        statuses = []

        async def receive() -> dict[str, Any]:
            nonlocal reads_made
            reads_made += 1
            return {"type": "http.request", "body": b"x" * 100, "more_body": True}

        async def send(message: dict[str, Any]) -> None:
            statuses.append(message.get("status"))

        await app(scope_of("POST", "/tasks") | {"headers": headers}, receive, send)
        assert statuses[0] == 413
        assert reads_made == reads


@pytest.mark.parametrize("more", [True, False])
async def test_a_request_that_waits_for_its_body_is_answered_at_the_stop(
    more: bool,
) -> None:
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

        start, body = sent
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

    (told,) = caplog.messages
    assert "lifespan has not run" in told


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
