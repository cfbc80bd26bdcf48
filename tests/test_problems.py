"""Whatever is wrong, the answer is a problem document that says so.

It is never a 500.
"""

import asyncio
import codecs
import gzip
import json
from typing import Any

import pytest
from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException

from taskmanager import errors, problems
from taskmanager.task_types import SUBMISSION
from tests.helpers import SUM, UNKNOWN, Gate, client_of, running, serving, settle

AS_JSON = {"Content-Type": "application/json"}


def body(**changes: Any) -> bytes:
    return json.dumps(SUM | changes).encode()


def numbers(text: str) -> bytes:
    """A body whose list of numbers is this text."""
    body = '{"task_type": "compute_sum", "parameters": {"numbers": [' + text + "]}}"
    return body.encode()


async def faults(
    content: bytes,
    content_type: str = "application/json",
    *content_codings: str,
    count: int | None = None,
) -> list[dict[str, str]]:
    """Submit this; the errors of the answer, which has to be a 400.

    There are ``count`` faults, where that is not the number of errors.
    """
    async with serving() as client:
        headers = [("Content-Type", content_type)]
        headers += [("Content-Encoding", coding) for coding in content_codings]
        answer = await client.post("/tasks", content=content, headers=headers)
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"

        problem = answer.json()
        errors: list[dict[str, str]] = problem.pop("errors")
        assert problem == {
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": f"Faults in the request: {count or len(errors)}; see errors.",
            "code": "invalid_request",
        }
        assert all(error["detail"] for error in errors)
        assert (await client.get("/health")).json()["tasks"] == 0

        return errors


@pytest.mark.parametrize(
    ("content", "pointers"),
    [
        (b"", ["#"]),
        (b"null", ["#"]),
        (b"[]", ["#"]),
        (b'"text"', ["#"]),
        (b"{", ["#"]),
        (b"\xff\xfe{}", ["#"]),
        (b'{"task_type": "\xff"}', ["#"]),
        (b"[" * 100_000, ["#"]),
        (b'{"a":' * 50_000, ["#"]),
        (numbers("9" * 5000), ["#"]),
        (b"{}", ["#/task_type", "#/parameters"]),
        (
            b'{"type": "compute_sum", "params": {"numbers": [1]}}',
            ["#/task_type", "#/parameters", "#/type", "#/params"],
        ),
        (
            b'{"compute_sum": 1, "a/b": 2}',
            ["#/task_type", "#/parameters", "#/compute_sum", "#/a~1b"],
        ),
        (b'{"\\ud800": 1}', ["#/task_type", "#"]),
        (
            b'{"parameters": {"numbers": [1]}, "priority": "urgent"}',
            ["#/task_type", "#/priority"],
        ),
        (
            body(task_type="juggle", parameters={}, priority=5, more=1),
            ["#/task_type", "#/priority", "#/more"],
        ),
        (b'{"parameters": {"numbers": [1]}, "priority": "low"}', ["#/task_type"]),
        (
            b'{"parameters": {"number": [1], "title": "x", "a~b": 1}, "params": {}}',
            [
                "#/task_type",
                "#/parameters/number",
                "#/parameters/a~0b",
                "#/params",
            ],
        ),
        (b'{"parameters": ["number"]}', ["#/task_type", "#/parameters"]),
        (
            b'{"parameters": "number", "number": 1}',
            ["#/task_type", "#/parameters", "#/number"],
        ),
        (b'{"parameters": null}', ["#/task_type", "#/parameters"]),
        (
            b'{"parameters": {"a\\ud800b": 1}}',
            ["#/task_type", "#/parameters/a%3Fb"],
        ),
        (
            body(task_type="juggle", parameters={"balls": 3, "limit": 1}),
            ["#/task_type", "#/parameters/balls"],
        ),
        (body(task_type="juggle"), ["#/task_type"]),
        (body(task_type="juggle", more=1), ["#/task_type", "#/more"]),
        (body(task_type=None), ["#/task_type"]),
        (body(task_type=["compute_sum"]), ["#/task_type"]),
        (b'{"task_type": "\\ud800", "parameters": {}}', ["#/task_type"]),
        (b'{"task_type": "compute_sum"}', ["#/parameters"]),
        (body(parameters=None), ["#/parameters"]),
        (body(parameters=[]), ["#/parameters"]),
        (body(parameters={}), ["#/parameters/numbers"]),
        (body(parameters={"numbers": []}), ["#/parameters/numbers"]),
        (body(parameters={"numbers": "12"}), ["#/parameters/numbers"]),
        (
            body(parameters={"numbers": [1, True, "2", {"int": 1}]}),
            [f"#/parameters/numbers/{n}" for n in (1, 2, 3)],
        ),
        (numbers("NaN"), ["#/parameters/numbers/0"]),
        (numbers("1, Infinity"), ["#/parameters/numbers/1"]),
        (numbers("1e999"), ["#/parameters/numbers/0"]),
        (numbers("9" * 101), ["#/parameters/numbers/0"]),
        (body(parameters={"numbers": [1], "more": 1}), ["#/parameters/more"]),
        (body(priority="urgent"), ["#/priority"]),
        (body(priority=None), ["#/priority"]),
        (body(compute_sum=1), ["#/compute_sum"]),
        (body(**{"a/b~c d%é": 1}), ["#/a~1b~0c%20d%25%C3%A9"]),
        (body(**{"\x00": 1}), ["#/%00"]),
        (body(parameters={"numbers": [1], "\ud800": 1}), ["#/parameters"]),
        (body(**{"\ud800": 1}), ["#"]),
    ],
)
async def test_a_fault_in_the_body_is_pointed_at(
    content: bytes, pointers: list[str]
) -> None:
    assert [error["pointer"] for error in await faults(content)] == pointers


UNREADABLE = (
    "The body cannot be read: send JSON in UTF-8, as application/json, without "
    "a byte order mark and without Content-Encoding."
)
ONE_OF = (
    "Input should be one of compute_sum, generate_report, count_primes, "
    "simulate_failure"
)


TOO_MUCH = "It is nested too deeply, or has an integer that is too long."


@pytest.mark.parametrize(
    ("content", "content_type", "detail", "pointer"),
    [
        (numbers("9" * 5000), "", TOO_MUCH, "#"),
        (b"[" * 100_000, "", TOO_MUCH, "#"),
        (b'{"a":' * 50_000, "", TOO_MUCH, "#"),
        (b'{"a": "\xff"}', "", UNREADABLE, "#"),
        (body().decode().encode("utf-16"), "", UNREADABLE, "#"),
        (b'{"a"', "", "Not valid JSON: Expecting ':' delimiter at character 4.", "#"),
        (b"\xff", "", UNREADABLE, "#"),
        (b"{}", "text/plain", UNREADABLE, "#"),
        (b'{"parameters": {}}', "", ONE_OF, "#/task_type"),
        (b"[]", "", "Input should be an object", "#"),
        (body(parameters=None), "", "Input should be an object", "#/parameters"),
        (body(parameters=[]), "", "Input should be an object", "#/parameters"),
        (
            body(task_type="juggle"),
            "",
            ONE_OF,
            "#/task_type",
        ),
        (
            body(task_type="generate_report", parameters={"title": "a\nb"}),
            "",
            "Input should have no control characters",
            "#/parameters/title",
        ),
        (
            body(**{"~!$&'()*+,;=:@/?": 1}),
            "",
            "Extra inputs are not permitted",
            "#/~0!$&'()*+,;=:@~1%3F",
        ),
    ],
)
async def test_a_fault_is_said_in_words(
    content: bytes, content_type: str, detail: str, pointer: str
) -> None:
    (fault,) = await faults(content, content_type or "application/json")
    assert fault == {"detail": detail, "pointer": pointer}


@pytest.mark.parametrize(
    "title",
    [
        "",
        "x" * 201,
        "a\nb",
        "\x00",
        "\u0085",
        "\ud800",
        5,
        None,
    ],
)
async def test_a_title_has_only_what_can_be_printed(title: Any) -> None:
    content = body(task_type="generate_report", parameters={"title": title})
    (fault,) = await faults(content)
    assert fault["pointer"] == "#/parameters/title"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ],
)
async def test_a_body_of_another_type_is_refused(content_type: str) -> None:
    (fault,) = await faults(body(), content_type)
    assert fault["pointer"] == "#"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        # JSON has no such parameter, and is UTF-8 whatever it says.
        "application/json; charset=utf-16",
        "Application/JSON",
        "application/x+json",
    ],
)
async def test_json_by_any_of_its_names_is_accepted(content_type: str) -> None:
    async with serving() as client:
        answer = await client.post(
            "/tasks", content=body(), headers={"Content-Type": content_type}
        )
        assert answer.status_code == 202


@pytest.mark.parametrize(
    ("types", "status"),
    [
        (["application/json", "application/json"], 202),
        (["application/json", "application/json; charset=utf-8"], 400),
        (["application/json", "text/plain"], 400),
        (["text/plain", "application/json"], 400),
    ],
)
async def test_content_types_that_differ_are_refused(
    types: list[str], status: int
) -> None:
    async with serving() as client:
        headers = [("Content-Type", each) for each in types]
        answer = await client.post("/tasks", content=body(), headers=headers)
        assert answer.status_code == status


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("text", [body().decode(), "{}", "1"])
async def test_a_body_of_another_encoding_is_refused(encoding: str, text: str) -> None:
    (fault,) = await faults(text.encode(encoding))
    assert fault["pointer"] == "#"


@pytest.mark.parametrize("content", [body(), b"{}"])
async def test_a_byte_order_mark_is_refused(content: bytes) -> None:
    (fault,) = await faults(codecs.BOM_UTF8 + content)
    assert fault == {"detail": UNREADABLE, "pointer": "#"}


async def test_a_body_is_utf_8_whatever_its_type_says() -> None:
    content = body(task_type="generate_report", parameters={"title": "x"})
    latin = content.replace(b"x", b"\xe9")
    (fault,) = await faults(latin, "application/json; charset=latin-1")
    assert fault["pointer"] == "#"


@pytest.mark.parametrize(
    "codings",
    [
        ["gzip"],
        ["GZIP"],
        ["br"],
        ["identity", "gzip"],
        ["identity, gzip"],
        ["gzip", "identity"],
        ["unheard-of"],
    ],
)
async def test_a_body_with_a_content_coding_is_refused(codings: list[str]) -> None:
    fault = {
        "detail": "Send the body without a content coding",
        "parameter": "Content-Encoding",
    }
    assert await faults(body(), "application/json", *codings) == [fault]
    assert await faults(b"{}", "application/json", *codings) == [fault]

    assert await faults(gzip.compress(body()), "application/json", *codings) == [fault]


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
async def test_the_identity_is_no_coding(coding: str) -> None:
    async with serving() as client:
        headers = {"Content-Encoding": coding}
        answer = await client.post("/tasks", json=SUM, headers=headers)
        assert answer.status_code == 202


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (numbers(",".join(["true"] * 100)), 100),
        (numbers(",".join(["true"] * 101)), 101),
        (numbers(",".join(["true"] * 10_000)), 10_000),
        (body(**{f"more-{n}": 1 for n in range(5000)}), 5000),
        (json.dumps({f"more-{n}": 1 for n in range(5000)}).encode(), 5002),
        (
            json.dumps({"parameters": {f"more-{n}": 1 for n in range(5000)}}).encode(),
            5001,
        ),
    ],
)
async def test_a_hundred_faults_are_listed_and_all_are_counted(
    content: bytes, count: int
) -> None:
    assert len(await faults(content, count=count)) == 100


async def test_without_a_task_type_each_fault_is_said_in_words() -> None:
    content = body(task_type="juggle", parameters={"balls": 3}, priority="urgent")
    assert await faults(content) == [
        {"detail": ONE_OF, "pointer": "#/task_type"},
        {
            "detail": "Extra inputs are not permitted",
            "pointer": "#/parameters/balls",
        },
        {
            "detail": "Input should be 'high', 'normal' or 'low'",
            "pointer": "#/priority",
        },
    ]


async def test_a_route_of_ones_own_may_check_its_path_as_fastapi_does() -> None:
    async with running() as app, client_of(app) as client:

        @app.get("/mine/{number}")
        async def mine(number: int) -> int:
            return number

        answer = await client.get("/mine/x")
        assert answer.status_code == 400
        (fault,) = answer.json()["errors"]
        assert fault["parameter"] == "number"


@pytest.mark.parametrize(
    "content",
    [
        body(priority="urgent"),
        body(task_type="generate_report", parameters={"title": ""}),
        body(task_type="juggle", more=1),
    ],
)
async def test_of_a_fault_nothing_is_written_that_nobody_reads(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[set[str]] = []

    def fault(error: dict[str, Any]) -> dict[str, str]:
        written.append(set(error))
        return {"detail": "x", "pointer": "#"}

    monkeypatch.setattr(problems, "_fault", fault)
    await faults(content)
    assert written
    assert all(names <= {"type", "loc", "msg", "input"} for names in written)


async def test_of_ten_thousand_faults_nothing_is_written_that_nobody_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[dict[str, Any]] = []

    def fault(error: dict[str, Any]) -> dict[str, str]:
        written.append(error)
        return {"detail": "x", "pointer": "#"}

    monkeypatch.setattr(problems, "_fault", fault)
    await faults(numbers(",".join(["true"] * 10_000)), count=10_000)
    assert len(written) == 100
    assert all(set(error) == {"type", "loc", "msg"} for error in written)


async def test_others_run_before_ten_thousand_faults_are_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []

    def check(submission: Any) -> None:
        log.append("checked")
        SUBMISSION.validate_python(submission)

    def write(fault: dict[str, Any]) -> dict[str, str]:
        log.append("written out")
        return {"detail": "x", "pointer": "#"}

    async def other() -> None:
        log.append("another request")

    requests: list[asyncio.Task[None]] = []

    def arrive() -> None:
        requests.append(asyncio.ensure_future(other()))

    async with running() as app, client_of(app) as client:

        def submit(submission: Any, key: str | None) -> None:
            # It comes in while the faults are found: the loop sees that
            # in its next turn, behind what is ready by then.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, arrive)
            check(submission)

        monkeypatch.setattr(app.state.manager, "submit", submit)
        monkeypatch.setattr(problems, "_fault", write)
        content = numbers(",".join(["true"] * 101))
        await client.post("/tasks", content=content, headers=AS_JSON)

    assert log == ["checked", "another request", *["written out"] * 100]


# As a query has them; pydantic takes the first six for 15, 5 or 0.
NO_DIGITS = [
    "1_5",
    "%2B5",
    "5.0",
    "%205",
    "5%20",
    "-0",
    "+5",
    "-1",
    "1e3",
    "0x10",
    "%D9%A3",
    "%C2%B2",
    "5%00",
    "5%0A",
    "5,6",
]


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/tasks?limit=0", ["limit"]),
        ("/tasks?limit=10001", ["limit"]),
        ("/tasks?limit=x&status=y", ["status", "limit"]),
        ("/tasks?limit=" + "9" * 5000, ["limit"]),
        ("/tasks?limit=", ["limit"]),
        ("/tasks?status=", ["status"]),
        *[(f"/tasks?limit={text}", ["limit"]) for text in NO_DIGITS],
        *[(f"/tasks/{UNKNOWN}?since={text}", ["since"]) for text in NO_DIGITS],
        ("/tasks?limit=1&limit=2", ["limit"]),
        ("/tasks?limit=1&%6Cimit=1", ["limit"]),
        ("/tasks?limit=1&status=queued&limit=", ["limit"]),
        ("/tasks?status=queued&status=queued", ["status"]),
        (f"/tasks/{UNKNOWN}?wait=true&wait=true", ["wait"]),
        (f"/tasks/{UNKNOWN}?wait=false&since=1&since=1", ["since"]),
        (f"/tasks/{UNKNOWN}?wait=", ["wait"]),
        (f"/tasks/{UNKNOWN}?wait=perhaps", ["wait"]),
        (f"/tasks/{UNKNOWN}?since=-1", ["since"]),
        (f"/tasks/{UNKNOWN}?wait=true&since=1.5", ["since"]),
        ("/tasks/7", ["task_id"]),
        ("/tasks/%00", ["task_id"]),
    ],
)
async def test_a_fault_in_the_query_or_path_names_its_parameter(
    path: str, parameters: list[str]
) -> None:
    async with serving() as client:
        answer = await client.get(path)
        problem = answer.json()
        assert answer.status_code == 400
        assert problem["code"] == "invalid_request"
        assert [error["parameter"] for error in problem["errors"]] == parameters
        assert all(error["detail"] for error in problem["errors"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tasks?limit=007", 200),
        ("/tasks?limit=%37&status=queue%64", 200),
        ("/tasks?since=1&since=2&wait=x&LIMIT=0&more=1&more=2", 200),
        (f"/tasks/{UNKNOWN}?since=" + "9" * 4000, 404),
        (f"/tasks/{UNKNOWN}?limit=0&limit=x&wait=FALSE&since=00", 404),
        *[(f"/tasks/{UNKNOWN}?wait={word}", 404) for word in ("1", "yes", "Off", "t")],
    ],
)
async def test_a_query_that_is_plain_is_taken(path: str, status: int) -> None:
    async with serving() as client:
        assert (await client.get(path)).status_code == status


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_task_is_404(method: str) -> None:
    async with serving() as client:
        answer = await client.request(method, f"/tasks/{UNKNOWN}")
        assert answer.status_code == 404
        assert answer.json()["code"] == "task_not_found"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/tasks/",
        f"/tasks/{UNKNOWN}/",
        f"/tasks/{UNKNOWN}/more",
        "/tasksfoo",
        "/tasks%0A",
        "/health%0A",
        "/docs%0A",
        "/live%0A",
        f"/tasks/{UNKNOWN}/events%0A",
    ],
)
async def test_an_unknown_path_is_404_and_never_a_redirect(path: str) -> None:
    async with serving() as client:
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/tasks", "GET, POST"),
        (f"/tasks/{UNKNOWN}", "DELETE, GET"),
        ("/health", "GET, HEAD"),
        ("/", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
        ("/redoc", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/static-offline-docs/favicon.png", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT", "FOO"])
async def test_another_method_is_405_and_told_which_are_allowed(
    path: str, allow: str, method: str
) -> None:
    async with serving() as client:
        answer = await client.request(method, path)
        assert answer.status_code == 405
        assert answer.json()["code"] == "method_not_allowed"
        assert answer.headers["allow"] == allow
        assert answer.json()["detail"] == "This path has other methods; see Allow."


async def test_what_a_client_did_wrong_is_no_error_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as client:
        answers = [
            await client.post("/tasks", json={}),
            await client.get(f"/tasks/{UNKNOWN}"),
            await client.get("/nothing"),
            await client.put("/tasks"),
        ]

    assert [answer.status_code for answer in answers] == [400, 404, 404, 405]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_cancelling_what_is_done_is_409() -> None:
    async with serving() as client:
        where = (await client.post("/tasks", json=SUM)).headers["location"]
        await client.get(where + "?wait=true&since=2")

        answer = await client.delete(where)
        assert answer.status_code == 409
        assert answer.json()["code"] == "task_finished"


async def test_a_full_queue_is_503(gate: Gate) -> None:
    async with serving(workers=1, queue_size=1) as client:
        # One is for the worker, one for the queue.
        for _ in range(2):
            assert (await client.post("/tasks", json=SUM)).status_code == 202
            await settle()

        answer = await client.post("/tasks", json=SUM)
        assert answer.status_code == 503
        assert answer.json()["code"] == "queue_full"
        assert answer.headers["retry-after"] == "1"
        assert (await client.get("/health")).json()["tasks"] == 2


async def test_a_fault_of_ours_is_500_and_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: Any) -> None:
        raise RuntimeError("a secret")

    async with running(rate_limit=10) as app, client_of(app) as client:
        monkeypatch.setattr(app.state.manager, "submit", fault)
        monkeypatch.setattr(app.state.manager, "stats", fault)

        submitted = await client.post("/tasks", json=SUM)
        looked = await client.get("/health")
        for answer in (submitted, looked):
            assert answer.status_code == 500
            assert answer.json()["code"] == "internal_error"
            assert answer.headers["content-type"] == "application/problem+json"
            assert "secret" not in answer.text

        again = await client.post("/tasks", json=SUM)
        assert again.headers["ratelimit"].startswith('"default";r=8')
        assert "RuntimeError: a secret" in caplog.text

        told = {
            (record.name, record.getMessage())
            for record in caplog.records
            if record.levelname == "ERROR"
        }
        assert told == {("taskmanager.problems", "a request could not be answered")}


async def test_what_a_route_of_ones_own_refuses_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as app, client_of(app) as client:

        @app.get("/mine")
        async def mine() -> None:
            raise HTTPException(403, "not you")

        answer = await client.get("/mine")
        assert answer.status_code == 500
        assert answer.json()["detail"].endswith("the log has the details.")
        assert "403: not you" in caplog.text


async def test_405_beside_a_router_that_is_included() -> None:
    router = APIRouter()

    @router.get("/mine")
    async def mine() -> str:
        return "mine"

    async with running() as app, client_of(app) as client:
        app.include_router(router, prefix="/tasks")
        refused = await client.put("/tasks/mine")
        assert refused.status_code == 405
        assert refused.headers["allow"] == "DELETE, GET"


BEFORE_3_13 = {
    "Content Too Large": "Request Entity Too Large",
    "Unprocessable Content": "Unprocessable Entity",
}
OURS = "Something went wrong on our side; the log has the details."


@pytest.mark.parametrize(
    ("error", "title", "code", "detail", "retry_after"),
    [
        (errors.TaskNotFoundError("gone"), "Not Found", "task_not_found", "gone", None),
        (errors.TaskFinishedError("done"), "Conflict", "task_finished", "done", None),
        (
            errors.KeyReusedError("again"),
            "Unprocessable Content",
            "idempotency_key_reused",
            "again",
            None,
        ),
        (
            errors.QueueFullError("full", 7),
            "Service Unavailable",
            "queue_full",
            "full",
            "7",
        ),
        (
            errors.ShuttingDownError(),
            "Service Unavailable",
            "shutting_down",
            "The server is shutting down.",
            "5",
        ),
        (
            HTTPException(404),
            "Not Found",
            "not_found",
            "There is nothing at this path.",
            None,
        ),
        (
            HTTPException(413, "long"),
            "Content Too Large",
            "body_too_large",
            "long",
            None,
        ),
        (HTTPException(418), "Internal Server Error", "internal_error", OURS, None),
        (ValueError("a secret"), "Internal Server Error", "internal_error", OURS, None),
    ],
)
async def test_the_document_of_each_error(
    error: Exception, title: str, code: str, detail: str, retry_after: str | None
) -> None:
    response = await problems.answer(Request({"type": "http"}), error)
    document = json.loads(response.body)
    assert document.pop("title") in (title, BEFORE_3_13.get(title))
    assert document == {
        "type": "about:blank",
        "status": response.status_code,
        "detail": detail,
        "code": code,
    }
    assert response.headers.get("retry-after") == retry_after
    assert (
        response.status_code
        == getattr(error, "status_code", getattr(error, "status", 500))
        or detail == OURS
    )
