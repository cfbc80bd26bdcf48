"""The endpoints, as a client sees them."""

import asyncio
import gc
import json
import re
import time
import weakref
from functools import partial
from http import HTTPStatus
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from freezegun import freeze_time
from pydantic import TypeAdapter

from taskmanager import api, listing
from taskmanager.api import create_app
from taskmanager.cleanup import sweep
from taskmanager.task import TaskDict
from taskmanager.testing import receive_from, run_in_virtual_time, scope_of
from tests.helpers import (
    FAILURE,
    PRIMES,
    REPORT,
    SUM,
    Gate,
    client_of,
    running,
    serving,
    settings,
    settle,
)

valid_task = TypeAdapter(TaskDict).validate_python


@pytest.mark.parametrize(("setting", "is_on"), [("on", True), ("off", False)])
def test_fastapi_measures_nothing_that_nobody_asked_for(
    setting: str, is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def make(**options: Any) -> FastAPI:
        given.update(options)
        return FastAPI(**options)

    monkeypatch.setattr(api, "FastAPIOffline", make)
    create_app(settings(telemetry=setting))
    assert given["telemetry"] == {"tracing": is_on, "metrics": is_on, "logs": is_on}


async def test_a_submission_answers_the_task_and_where_and_when_to_poll_it() -> None:
    with freeze_time("2026-01-01", real_asyncio=True):
        async with serving(work_scale=1) as client:
            answer = await client.post("/tasks", json=SUM)
            task = answer.json()
            assert answer.status_code == 202

            assert answer.headers["location"] == f"/tasks/{task['task_id']}"
            assert answer.headers["retry-after"] == "5"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/json"
            assert task == {
                "task_id": task["task_id"],
                "task_type": "compute_sum",
                "parameters": {"numbers": [1, 2, 3]},
                "priority": "normal",
                "status": "queued",
                "version": 1,
                "progress": 0,
                "queue_position": 0,
                "result": None,
                "error": None,
                "created_at": "2026-01-01T00:00:00.000Z",
                "started_at": None,
                "finished_at": None,
            }
            # It is a random UUID.
            assert UUID(task["task_id"]).version == 4


@pytest.mark.parametrize(
    ("submission", "result", "code"),
    [
        (SUM, {"sum": 6}, None),
        (SUM | {"parameters": {"numbers": [10**99, 1]}}, {"sum": 10**99 + 1}, None),
        (REPORT, {"title": "x"}, None),
        (FAILURE, None, "task_failed"),
        (FAILURE | {"parameters": {"kind": "timeout"}}, None, "timeout"),
        (FAILURE | {"parameters": {"kind": "crash"}}, None, "internal_error"),
    ],
)
async def test_each_task_type_ends_as_it_should(
    submission: dict[str, Any], result: dict[str, Any] | None, code: str | None
) -> None:
    async with serving() as client:
        task = (await client.post("/tasks", json=submission)).json()
        done = (await client.get(f"/tasks/{task['task_id']}?wait=true&since=2")).json()
        valid_task(done)

        status = "completed" if result else "failed"
        assert done["status"] == status
        expected = result or {}
        shown = done["result"] or {}
        assert {name: shown[name] for name in expected} == expected
        assert (done["error"] or {}).get("code") == code

        assert done["version"] == 3
        assert (done["progress"] == 100) == (done["status"] == "completed")
        assert done["created_at"] <= done["started_at"] <= done["finished_at"]


async def test_a_task_in_each_state_has_the_documented_form(gate: Gate) -> None:
    async with serving(workers=1) as client:
        for _ in range(3):
            await client.post("/tasks", json=PRIMES)
        *_, last = (await client.get("/tasks")).json()
        await client.delete(f"/tasks/{last['task_id']}")

        tasks = (await client.get("/tasks")).json()
        statuses = [task["status"] for task in map(valid_task, tasks)]
        assert statuses == ["processing", "queued", "cancelled"]
        assert [task["queue_position"] for task in tasks] == [None, 0, None]


async def test_a_poll_does_not_wait_unless_asked(gate: Gate) -> None:
    async with serving(wait_timeout=1000) as client:
        where = (await client.post("/tasks", json=SUM)).headers["location"]
        for query in ("", "?since=5", "?wait=false&since=5"):
            task = (await client.get(where + query)).json()
            assert task["status"] in ("queued", "processing")


async def test_a_long_poll_answers_at_the_change(gate: Gate) -> None:
    async with serving(wait_timeout=1000) as client:
        where = (await client.post("/tasks", json=SUM)).headers["location"]
        assert (await client.get(where + "?wait=true&since=1")).json()["version"] == 2

        polls = [
            asyncio.create_task(client.get(where + query))
            for query in ("?wait=true", "?wait=true&since=2")
        ]
        await settle()
        assert (await client.get("/health")).json()["waiting"] == 2

        gate.open(0)
        assert [(await poll).json()["status"] for poll in polls] == ["completed"] * 2


async def test_a_long_poll_ends_when_its_time_is_up(gate: Gate) -> None:
    async with serving(wait_timeout=0.001) as client:
        where = (await client.post("/tasks", json=SUM)).headers["location"]
        answer = await client.get(where + "?wait=true&since=2")
        assert answer.status_code == 200
        assert answer.json()["status"] == "processing"


@pytest.mark.parametrize("turns", range(8))
async def test_a_poll_asked_in_whichever_turn_misses_no_change(
    gate: Gate, turns: int
) -> None:
    async with running(workers=1, wait_timeout=1000) as app, client_of(app) as client:
        manager = app.state.manager
        manager.submit(SUM)
        second = manager.submit(SUM)
        await settle()

        # A few turns of the loop later the second one is processing.
        gate.open(0)
        for _ in range(turns):
            await asyncio.sleep(0)

        # One turn later the poll has been asked.
        path = f"/tasks/{second.task_id}?wait=true"
        poll = asyncio.create_task(client.get(path))
        await asyncio.sleep(0)
        version_asked_at = second.version

        for _ in range(3):
            await settle()
        if version_asked_at == 1:
            assert poll.done(), "it was asked at version 1, and waits at version 2"

        gate.open(1)
        answer = await asyncio.wait_for(poll, 5)
        assert answer.json()["version"] in (2, 3)


@pytest.mark.parametrize("parts", [1, 2])
async def test_a_poller_that_disconnects_stops_waiting(gate: Gate, parts: int) -> None:
    async with running(wait_timeout=1000) as app, client_of(app) as client:
        where = (await client.post("/tasks", json=SUM)).headers["location"]
        gone = asyncio.Event()
        body = [
            {"type": "http.request", "body": b"", "more_body": part < parts}
            for part in range(1, parts + 1)
        ]

        async def receive() -> dict[str, Any]:
            if body:
                return body.pop(0)
            await gone.wait()
            return {"type": "http.disconnect"}

        scope = scope_of("GET", where, query="wait=true&since=2")
        poll = asyncio.create_task(app(scope, receive, AsyncMock()))
        await settle()
        assert (await client.get("/health")).json()["waiting"] == 1

        gone.set()
        await poll
        await settle()
        assert (await client.get("/health")).json()["waiting"] == 0


class Exchange:
    """A request and its response, as a server keeps them."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope
        self.receive = receive_from(b"", asyncio.Event())

    async def send(self, message: Any) -> None:
        """Take a part of the response."""

    async def answered_by(self, app: FastAPI) -> None:
        await app(self.scope, self.receive, self.send)


@pytest.mark.parametrize("query", ["", "wait=true"])
async def test_a_request_leaves_nothing_to_the_garbage_collector(
    gate: Gate, query: str
) -> None:
    """A cycle for each takes as long as the rest of a long poll."""
    async with running() as app:
        manager = app.state.manager
        task = manager.submit(SUM)
        exchange = Exchange(scope_of("GET", f"/tasks/{task.task_id}", query=query))
        kept = [weakref.ref(exchange), weakref.ref(exchange.receive)]

        gc.disable()
        try:
            request = asyncio.create_task(exchange.answered_by(app))
            await settle()
            assert manager.stats()["waiting"] == bool(query)

            manager.cancel(task.task_id)
            await request
            del request, exchange
            await settle()
            assert [each() for each in kept] == [None, None]
        finally:
            gc.enable()


@pytest.mark.parametrize("name", ["Event.wait", "_disconnected"])
def test_a_poll_answers_whichever_of_its_asyncio_tasks_is_cancelled(name: str) -> None:
    async def watch() -> None:
        async with running(work_scale=1) as app, client_of(app) as client:
            task = app.state.manager.submit(SUM)
            await asyncio.sleep(1)
            before = asyncio.all_tasks()
            poll = asyncio.create_task(client.get(f"/tasks/{task.task_id}?wait=true"))
            await asyncio.sleep(1)
            new = asyncio.all_tasks() - before
            (part,) = [each for each in new if f" {name} " in repr(each.get_coro())]
            part.cancel()

            assert (await poll).json()["task_id"] == task.task_id
            health = (await client.get("/health")).json()
            assert (health["status"], health["waiting"]) == ("ok", 0)

    run_in_virtual_time(watch())


async def test_cancelling() -> None:
    async with serving(work_scale=1000) as client:
        where = (await client.post("/tasks", json=SUM)).headers["location"]

        first = await client.delete(where)
        assert first.status_code == 200
        assert first.json()["status"] == "cancelled"

        second = await client.delete(where)
        assert second.status_code == 200
        assert second.json() == first.json()
        assert (await client.get(where)).json() == first.json()


def key(text: str = '"a key"') -> dict[str, str]:
    return {"Idempotency-Key": text}


async def test_a_key_answers_its_task_whatever_has_become_of_it(gate: Gate) -> None:
    async with serving(workers=1, queue_size=1) as client:

        async def fill() -> None:
            """Take the free slot, so that the next one is refused."""
            for _ in range(2):
                last = await client.post("/tasks", json=SUM)
                await settle()

            assert last.status_code == 503
            assert last.json()["code"] == "queue_full"

        async def again() -> str:
            tasks = (await client.get("/health")).json()["tasks"]
            answer = await client.post("/tasks", json=SUM, headers=key())
            assert answer.status_code == 202
            assert answer.headers["location"] == where
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json() == (await client.get(where)).json()
            assert (await client.get("/health")).json()["tasks"] == tasks

            return str(answer.json()["status"])

        await client.post("/tasks", json=SUM)
        await settle()
        first = await client.post("/tasks", json=SUM, headers=key())
        where = first.headers["location"]
        await fill()
        assert await again() == "queued"

        gate.open(0)
        await settle()
        assert await again() == "processing"

        await fill()
        assert await again() == "processing"

        gate.open(1)
        await settle()
        assert await again() == "completed"

        await fill()
        assert await again() == "completed"


async def test_a_key_answers_its_task_after_a_cancellation() -> None:
    async with serving(work_scale=1000) as client:
        first = await client.post("/tasks", json=SUM, headers=key())
        cancelled = await client.delete(first.headers["location"])

        again = await client.post("/tasks", json=SUM, headers=key())
        assert again.json() == cancelled.json()
        assert (await client.get("/health")).json()["tasks"] == 1


async def test_of_many_submissions_at_once_with_one_key_one_is_a_task() -> None:
    async with serving() as client:
        requests = [client.post("/tasks", json=SUM, headers=key()) for _ in range(20)]
        answers = await asyncio.gather(*requests)
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["task_id"] for answer in answers}) == 1
        assert (await client.get("/health")).json()["tasks"] == 1


async def test_without_a_key_each_submission_is_a_task_and_so_is_each_key() -> None:
    async with serving() as client:
        ids = set()
        for headers in ({}, {}, key(), key('"a Key"'), key('"a key "')):
            answer = await client.post("/tasks", json=SUM, headers=headers)
            ids.add(answer.json()["task_id"])
        assert len(ids) == 5


@pytest.mark.parametrize(
    "content",
    [
        b"""{
            "priority": "normal",
            "parameters": {"sections": 5, "title": "x"},
            "task_type": "generate_report"
        }""",
        b"""{"task_type":"generate_report",
            "parameters":{"title":"\\u0078","sections":5.0}}""",
    ],
)
async def test_the_same_submission_may_be_written_otherwise(content: bytes) -> None:
    async with serving() as client:
        submission = {"task_type": "generate_report", "parameters": {"title": "x"}}
        first = await client.post("/tasks", json=submission, headers=key())

        headers = key() | {"Content-Type": "application/json"}
        again = await client.post("/tasks", content=content, headers=headers)
        assert again.status_code == 202
        assert again.json()["task_id"] == first.json()["task_id"]


@pytest.mark.parametrize(
    "other",
    [
        SUM | {"parameters": {"numbers": [1, 2]}},
        SUM | {"priority": "high"},
        REPORT,
        PRIMES,
        FAILURE,
    ],
)
async def test_a_key_stands_for_no_other_submission(other: dict[str, Any]) -> None:
    async with serving() as client:
        first = await client.post("/tasks", json=SUM, headers=key())
        answer = await client.post("/tasks", json=other, headers=key())
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"

        problem = answer.json()
        assert problem.pop("detail")
        assert problem == {
            "type": "about:blank",
            "title": HTTPStatus(422).phrase,
            "status": 422,
            "code": "idempotency_key_reused",
        }
        assert (await client.get("/health")).json()["tasks"] == 1

        again = await client.post("/tasks", json=SUM, headers=key())
        assert again.json()["task_id"] == first.json()["task_id"]


@pytest.mark.parametrize(
    "texts",
    [
        [b""],
        [b"a"],
        [b'"'],
        [b'""'],
        [b'"a'],
        [b'a"'],
        [b"'a'"],
        [b'"a"b"'],
        [b'"a";b=1'],
        [b'"a", "b"'],
        [b'"a\\"'],
        [b'"\\a"'],
        [b'"a\tb"'],
        [b'"a"\n'],
        [b'"\x7f"'],
        [b'"\xe9"'],
        ['"é"'.encode()],
        [b'"%s"' % (b"a" * 256)],
        [b'"a"', b'"b"'],
        [b'"a"', b'"a"'],
        [b'"a"', b""],
    ],
)
async def test_a_malformed_key_is_400(texts: list[bytes]) -> None:
    async with serving() as client:
        headers = [(b"Idempotency-Key", text) for text in texts]
        answer = await client.post("/tasks", json=SUM, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid_request"

        (error,) = answer.json()["errors"]
        assert error == {
            "parameter": "Idempotency-Key",
            "detail": "Send 1 to 255 characters in double quotes",
        }
        assert (await client.get("/health")).json()["tasks"] == 0


async def test_a_key_of_a_client_without_an_address_counts_too() -> None:
    async with running() as app:
        headers = [(b"content-type", b"application/json"), (b"idempotency-key", b'"a"')]
        scope = scope_of("POST", "/tasks", None, headers=headers)
        body = json.dumps(SUM).encode()
        receive = AsyncMock(return_value={"type": "http.request", "body": body})
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)
        start, *_ = sent
        assert start["status"] == 202


@pytest.mark.parametrize(
    "text",
    [
        "a",
        " ",
        "~",
        "!#[]",
        r"\"",
        r"\\",
        "a" * 255,
        r"\"" * 255,
    ],
)
async def test_a_key_is_a_string_of_up_to_255_characters(text: str) -> None:
    async with serving() as client:
        headers = key(f'"{text}"')
        first = (await client.post("/tasks", json=SUM, headers=headers)).json()
        again = (await client.post("/tasks", json=SUM, headers=headers)).json()
        assert first["task_id"] == again["task_id"]
        assert UUID(first["task_id"]).version == 4


async def test_a_key_is_its_clients_own() -> None:
    # They are the clients that the rate limit counts.
    addresses = {
        "one": ["10.0.0.1", "::ffff:10.0.0.1"],
        "two": ["10.0.0.2"],
        "three": ["2001:db8::1", "2001:db8::2"],
        "four": ["2001:db8:0:1::1"],
    }
    ids: set[str] = set()
    async with running() as app:
        for owner, hosts in addresses.items():
            own: set[str] = set()
            for host in hosts:
                async with client_of(app, host) as client:
                    answer = await client.post("/tasks", json=SUM, headers=key())
                    own.add(answer.json()["task_id"])

            assert len(own) == 1, owner
            ids |= own

    assert len(ids) == 4


async def test_a_key_is_forgotten_with_its_task_by_the_cleanup() -> None:
    async with running(work_scale=1000, retention=600) as app, client_of(app) as client:
        first = await client.post("/tasks", json=SUM, headers=key())
        where = first.headers["location"]
        await client.delete(where)

        now = time.monotonic()
        sweep(app.state.manager._store, now + 599, 600)
        refused = await client.post("/tasks", json=REPORT, headers=key())
        assert refused.status_code == 422

        sweep(app.state.manager._store, now + 601, 600)
        assert (await client.get(where)).status_code == 404

        answer = await client.post("/tasks", json=REPORT, headers=key())
        assert answer.status_code == 202
        assert answer.json()["task_type"] == "generate_report"
        assert answer.json()["version"] == 1


async def test_a_key_is_forgotten_with_its_task_when_that_makes_room() -> None:
    async with serving(work_scale=1000, max_tasks=2) as client:
        for headers in (key(), {}):
            task = await client.post("/tasks", json=SUM, headers=headers)
            await client.delete(task.headers["location"])

        refused = await client.post("/tasks", json=REPORT, headers=key())
        assert refused.status_code == 422

        await client.post("/tasks", json=SUM)
        answer = await client.post("/tasks", json=REPORT, headers=key())
        assert answer.status_code == 202
        assert answer.json()["task_type"] == "generate_report"


async def test_a_refused_submission_does_not_use_up_its_key(gate: Gate) -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with (
            running(workers=1, queue_size=1, rate_limit=3) as app,
            client_of(app) as client,
        ):
            manager = app.state.manager
            manager.submit(SUM)
            await settle()
            waiting = manager.submit(SUM)

            # Each would be another one of the same key.
            invalid = SUM | {"parameters": {}}
            answers = [
                await client.post("/tasks", json=submission, headers=key())
                for submission in (SUM, invalid, PRIMES, REPORT)
            ]
            assert [answer.status_code for answer in answers] == [503, 400, 503, 429]

            manager.cancel(waiting.task_id)
            frozen.tick(60)
            answer = await client.post("/tasks", json=FAILURE, headers=key())
            assert answer.status_code == 202
            assert answer.json()["task_type"] == "simulate_failure"


@pytest.mark.parametrize(
    ("submission", "text", "state", "status", "code"),
    [
        # 503 shutting_down comes before 400 and 422.
        (SUM, "a", {"stopping"}, 503, "shutting_down"),
        (REPORT, '"a"', {"stopping"}, 503, "shutting_down"),
        # So it does for a task that is known.
        (SUM, '"a"', {"stopping"}, 503, "shutting_down"),
        # 400 comes before 422.
        (SUM | {"priority": "x"}, '"a"', set(), 400, "invalid_request"),
        # 400 comes before 503 queue_full.
        (REPORT, "a", {"full"}, 400, "invalid_request"),
        # 422 comes before 503 queue_full.
        (REPORT, '"a"', {"full"}, 422, "idempotency_key_reused"),
        (SUM, '"a"', {"full"}, 202, None),
        (SUM, '"b"', {"full"}, 503, "queue_full"),
    ],
)
async def test_one_order_decides_with_keys_too(
    gate: Gate,
    submission: dict[str, Any],
    text: str,
    state: set[str],
    status: int,
    code: str | None,
) -> None:
    async with running(workers=1, queue_size=1) as app, client_of(app) as client:
        await client.post("/tasks", json=SUM, headers=key('"a"'))
        await settle()
        if "full" in state:
            await client.post("/tasks", json=SUM)
        if "stopping" in state:
            app.state.manager.begin_stop()

        answer = await client.post("/tasks", json=submission, headers=key(text))
        assert answer.status_code == status
        assert answer.json().get("code") == code


async def submitted(client: httpx.AsyncClient, count: int) -> list[str]:
    """The ids of so many new tasks."""
    answers = [await client.post("/tasks", json=SUM) for _ in range(count)]
    return [answer.json()["task_id"] for answer in answers]


@pytest.mark.parametrize("count", [0, 1, 600])
async def test_a_listing_has_all_tasks_in_the_order_submitted(
    gate: Gate, count: int
) -> None:
    async with serving(queue_size=1000) as client:
        ids = await submitted(client, count)

        as_array = await client.get("/tasks")
        assert as_array.headers["content-type"] == "application/json"
        assert [task["task_id"] for task in as_array.json()] == ids

        headers = {"Accept": "text/plain, application/x-ndjson; q=0.9"}
        as_lines = await client.get("/tasks", headers=headers)
        assert as_lines.headers["content-type"] == "application/x-ndjson"
        lines = as_lines.text.splitlines()
        assert [json.loads(line)["task_id"] for line in lines] == ids
        assert as_lines.text == "" or as_lines.text.endswith("}\n")

        headers = {"Accept": "text/plain,application/x-ndjson"}
        no_spaces = await client.get("/tasks", headers=headers)
        assert no_spaces.headers["content-type"] == "application/x-ndjson"


@pytest.mark.parametrize(
    ("accepted", "content_type"),
    [
        ([], "application/json"),
        (["application/json, application/x-ndjson;q=0"], "application/json"),
        (["application/json;q=0.1", "Application/X-NDJSON"], "application/x-ndjson"),
        (["application/x-ndjson", "application/json"], "application/json"),
        (["text/html"], "application/json"),
    ],
)
async def test_the_form_of_a_listing_follows_all_lines_of_accept(
    accepted: list[str], content_type: str
) -> None:
    async with serving() as client:
        # The client's own would be */*.
        del client.headers["accept"]
        headers = [("Accept", line) for line in accepted]
        answer = await client.get("/tasks", headers=headers)
        assert answer.headers["content-type"] == content_type


async def test_a_listing_can_be_filtered_and_limited(gate: Gate) -> None:
    async with serving(workers=2, queue_size=1000) as client:
        ids = await submitted(client, 300)

        async def listed(query: str) -> list[str]:
            tasks = (await client.get(f"/tasks?{query}")).json()
            return [task["task_id"] for task in tasks]

        assert await listed("limit=1") == ids[:1]
        assert await listed("limit=128") == ids[:128]
        assert await listed("limit=129") == ids[:129]
        assert await listed("status=processing") == ids[:2]
        assert await listed("status=queued&limit=3") == ids[2:5]
        assert await listed("status=completed") == []


async def test_a_listing_streams_and_stays_well_formed_while_tasks_come_and_go(
    gate: Gate,
) -> None:
    async with (
        running(workers=1, queue_size=2000, max_tasks=600) as app,
        client_of(app) as client,
    ):
        ids = await submitted(client, 600)
        chunks: list[bytes] = []
        listed = asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            chunks.append(message.get("body", b""))
            if len(chunks) == 2:
                # The first page is out, and the others are not read
                # yet.
                for task_id in (*ids[:10], *ids[300:310]):
                    app.state.manager.cancel(task_id)
                # This evicts those that were just cancelled.
                for _ in range(20):
                    app.state.manager.submit(SUM)
                listed.set()

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            return {}

        await app(scope_of("GET", "/tasks"), receive, send)
        assert listed.is_set()

        shown = [task["task_id"] for task in json.loads(b"".join(chunks))]
        # Page one is as it was; gone ones are left out, new ones too.
        assert shown == ids[:300] + ids[310:]


async def test_others_run_between_two_pages_even_if_sending_never_waits(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SLICE", 60.0)  # a page is one slice
    async with running(queue_size=2000) as app:
        for _ in range(1000):
            app.state.manager.submit(SUM)

        log: list[str] = []

        async def tick() -> None:
            while True:
                log.append("tick")
                await asyncio.sleep(0)

        async def send(message: dict[str, Any]) -> None:
            kind = "page" if len(message.get("body", b"")) > 1 else "end"
            log.append(kind)

        ticker = asyncio.create_task(tick())
        await app(scope_of("GET", "/tasks"), asyncio.Event().wait, send)
        ticker.cancel()
        assert "page page" not in " ".join(log)
        assert log.count("page") == 8


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize("accept", [b"application/json", b"application/x-ndjson"])
async def test_a_listing_is_cut_off_at_the_stop(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, accept: bytes, spec_version: str
) -> None:
    monkeypatch.setattr(listing, "SLICE", 60.0)  # a page is one slice
    async with running(queue_size=2000) as app:
        for _ in range(300):
            app.state.manager.submit(SUM)

        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if len(sent) == 2:
                app.state.stop()

        scope = scope_of("GET", "/tasks", headers=[(b"accept", accept)])
        scope["asgi"]["spec_version"] = spec_version
        await app(scope, asyncio.Event().wait, send)

        # Servers close the connection then, and log no failure.
        _, first_page = sent
        assert first_page["more_body"]
        assert first_page["body"].count(b"task_id") == 128


async def test_a_listing_that_begins_after_the_stop_is_refused() -> None:
    async with running() as app, client_of(app) as client:
        app.state.stop()
        for accept in ("application/json", "application/x-ndjson"):
            answer = await client.get("/tasks", headers={"Accept": accept})
            assert answer.status_code == 503
            assert answer.json()["code"] == "shutting_down"
            assert answer.headers["retry-after"] == "5"


class Records:
    """Replaces the clock and ``to_json``: each record takes long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # "#" for each record, "." for each turn of the loop.
        self.log = ""
        clock = SimpleNamespace(monotonic=partial(next, count()))
        monkeypatch.setattr(listing, "time", clock)
        monkeypatch.setattr(listing, "to_json", self.to_json)

    def to_json(self, record: Any) -> bytes:
        self.log += "#"
        return json.dumps(record).encode()

    async def tick(self) -> None:
        while True:
            self.log += "."
            await asyncio.sleep(0)


@pytest.mark.parametrize("tasks", [1, 4, 20])
async def test_between_large_records_that_are_asked_for_others_have_their_turn(
    tasks: int, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(queue_size=100) as app, client_of(app) as client:
        manager = app.state.manager
        ids = [manager.submit(SUM).task_id for _ in range(tasks)]
        polls = [
            asyncio.create_task(client.get(f"/tasks/{task_id}?wait=true"))
            for task_id in ids
            for _ in range(20 // tasks)
        ]
        while manager.stats()["waiting"] < 20:
            await asyncio.sleep(0)

        records = Records(monkeypatch)
        ticker = asyncio.create_task(records.tick())
        for task_id in ids:
            manager.cancel(task_id)
        answers = await asyncio.gather(*polls)
        ticker.cancel()

    assert {answer.json()["status"] for answer in answers} == {"cancelled"}
    assert len({answer.json()["task_id"] for answer in answers}) == tasks
    # One that is finished is encoded once, however many ask for it.
    _, *turns, _ = records.log.split("#")
    assert len(turns) == tasks - 1
    # A request on a new connection needs five under uvicorn.
    assert all(len(each) >= 5 for each in turns)


async def test_a_record_that_is_kept_is_never_an_old_one(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(workers=1) as app, client_of(app) as client:
        first, second = (app.state.manager.submit(SUM).task_id for _ in range(2))

        async def status(task_id: str) -> Any:
            return (await client.get(f"/tasks/{task_id}")).json()["status"]

        assert await status(first) == "queued"
        await settle()
        assert await status(first) == "processing"
        gate.open(0)
        await settle()
        assert await status(first) == "completed"
        assert await status(second) == "processing"

        # It finishes between its encoding and its answer.
        Records(monkeypatch)
        getting = asyncio.create_task(status(second))
        while not (getting.done() or app.state.describing.locked()):
            await asyncio.sleep(0)
        app.state.manager.cancel(second)
        assert await getting == "processing"
        assert await status(second) == "cancelled"
        assert await status(first) == "completed"


async def test_small_records_that_are_asked_for_wait_for_nobody(gate: Gate) -> None:
    async with running() as app, client_of(app) as client:
        task_id = app.state.manager.submit(SUM).task_id
        async with app.state.listing:
            answer = await client.get(f"/tasks/{task_id}")
            assert answer.status_code == 200


async def test_health_tells_the_live_counts(gate: Gate) -> None:
    async with serving(workers=1, queue_size=7) as client:
        for _ in range(3):
            await client.post("/tasks", json=SUM)
        await settle()

        answer = await client.get("/health")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {
            "status": "ok",
            "queued": 2,
            "processing": 1,
            "tasks": 3,
            "waiting": 0,
            "streams": 0,
            "workers": 1,
            "queue_size": 7,
            "restarts": 0,
        }


async def test_health_is_503_while_a_loop_is_dead() -> None:
    async with running() as app, client_of(app) as client:
        app.state.manager._supervisor.dead.add("worker-1")
        answer = await client.get("/health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "degraded"
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert (await client.head("/health")).status_code == 503


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/docs/oauth2-redirect",
    ],
)
async def test_head_answers_like_get_without_the_body(path: str) -> None:
    async with serving() as client:
        got = await client.get(path)
        asked = await client.head(path)
        assert asked.status_code == got.status_code
        assert asked.headers == got.headers
        assert asked.content == b""


async def test_head_is_no_operation_of_the_document() -> None:
    async with serving() as client:
        document = (await client.get("/openapi.json")).json()
        for path in document["paths"].values():
            assert "head" not in path


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_answers_when_the_queue_is_full_and_the_quota_used_up(
    gate: Gate, method: str
) -> None:
    async with serving(workers=1, queue_size=1, rate_limit=3) as client:
        refused = []
        for _ in range(4):
            refused.append((await client.post("/tasks", json=SUM)).status_code)
            await settle()
        assert refused == [202, 202, 503, 429]

        answer = await client.request(method, "/health")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert "ratelimit" not in answer.headers


@pytest.mark.parametrize("prefixes", [True, False])
@pytest.mark.parametrize(
    ("root_path", "base"),
    [
        ("", ""),
        ("/", ""),
        ("//", ""),
        ("/jobs", "/jobs"),
        ("/jobs/", "/jobs"),
        ("/jobs//", "/jobs"),
        ("//jobs", "/jobs"),
        ("/a//b/", "/a/b"),
        ("/t", "/t"),
        ("/tasks", "/tasks"),
    ],
)
async def test_links_stay_on_this_host_and_have_no_needless_slash(
    root_path: str, base: str, prefixes: bool
) -> None:
    # uvicorn puts the root path before each path, others do not.
    before = root_path if prefixes else ""
    async with running() as app:

        async def ask(method: str, path: str) -> tuple[dict[bytes, bytes], str]:
            scope = scope_of(method, before + path) | {"root_path": root_path}
            sent: list[Any] = []

            async def send(message: Any) -> None:
                sent.append(message)

            body = json.dumps(SUM).encode()
            await app(scope, receive_from(body, asyncio.Event()), send)
            head, *bodies = sent
            text = b"".join(message.get("body", b"") for message in bodies)
            return dict(head["headers"]), text.decode()

        # The router finds nothing at a path that is the root path.
        if prefixes or root_path != "/tasks":
            headers, text = await ask("POST", "/tasks")
            path = f"{base}/tasks/{json.loads(text)['task_id']}"
            assert headers[b"location"] == path.encode()

        headers, _ = await ask("GET", "/")
        assert headers[b"location"] == f"{base}/docs".encode()

        for page in ("/docs", "/redoc"):
            _, text = await ask("GET", page)
            assert re.search(rf"""['"]{base}/openapi.json['"]""", text), page
            assert not re.search(r"""['"]//""", text), page

        _, text = await ask("GET", "/openapi.json")
        assert json.loads(text)["servers"] == [{"url": base or "/"}]


@pytest.mark.parametrize("root_path", ["", "/", "/api", "/api/"])
async def test_links_of_a_mounted_application_have_its_path(root_path: str) -> None:
    async with running() as app:
        outer = FastAPI()
        outer.mount("/a b/Ω", app)
        transport = httpx.ASGITransport(app=outer, root_path=root_path)
        async with httpx.AsyncClient(transport=transport) as client:
            below = f"http://test{root_path}/a b/Ω"
            answer = await client.post(f"{below}/tasks", json=SUM)
            assert answer.status_code == 202

            quoted = root_path.rstrip("/") + "/a%20b/%CE%A9"
            where = f"{quoted}/tasks/{answer.json()['task_id']}"
            assert answer.headers["location"] == where

            answer = await client.get(f"{below}/")
            assert answer.headers["location"] == f"{quoted}/docs"


@pytest.mark.parametrize(
    ("root_path", "quoted"),
    [
        ("/a%20b", "/a%20b"),
        ("/a b", "/a%20b"),
        ("/a?x#y", "/a%3Fx%23y"),
        ("/\u03a9", "/%CE%A9"),
    ],
)
async def test_all_links_quote_the_root_path_once(root_path: str, quoted: str) -> None:
    async with running() as app:
        transport = httpx.ASGITransport(app=app, root_path=root_path)
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.post("http://test/tasks", json=SUM)
            assert answer.headers["location"].startswith(f"{quoted}/tasks/")

            answer = await client.get("http://test/")
            assert answer.headers["location"] == f"{quoted}/docs"

            document = (await client.get("http://test/openapi.json")).json()
            assert document["servers"] == [{"url": quoted}]


async def test_a_poll_without_wait_is_answered_at_once(gate: Gate) -> None:
    async with serving(wait_timeout=1000) as client:
        where = (await client.post("/tasks", json=SUM)).headers["location"]
        await settle()

        poll = asyncio.create_task(client.get(where))
        await settle()
        assert poll.done()
        assert (await poll).json()["status"] == "processing"


def test_the_routes_of_tasks_are_tried_first() -> None:
    paths = [getattr(route, "path", "") for route in create_app(settings()).routes]
    assert [path.startswith("/tasks") for path in paths[:5]] == [True] * 4 + [False]


async def test_two_apps_are_apart() -> None:
    async with serving() as one, serving() as other:
        where = (await one.post("/tasks", json=SUM)).headers["location"]
        assert (await other.get(where)).status_code == 404


async def test_an_app_can_be_started_again_and_remembers_nothing() -> None:
    app = create_app(settings())
    for _ in range(2):
        async with app.router.lifespan_context(app), client_of(app) as client:
            assert (await client.get("/tasks")).json() == []
            await client.post("/tasks", json=SUM)


async def test_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKMANAGER_WORKERS", "3")
    app = create_app()
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert (await client.get("/health")).json()["workers"] == 3
