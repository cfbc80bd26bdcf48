"""The document says what the server does.

The pages that show it work without the internet.
"""

import asyncio
import json
import re
import subprocess
import sys
from concurrent.futures import BrokenExecutor
from typing import Any

import httpx
import jsonschema_rs
import pytest

from taskmanager.api import create_app
from taskmanager.errors import TaskFailedError, classify_failure
from taskmanager.openapi import RECORDED
from taskmanager.schemas import EXAMPLES
from tests.examples import examples
from tests.helpers import client_of, project_root, running, serving, settings

DOCUMENT = create_app(settings(rate_limit=10)).openapi()
OPERATIONS = {
    ("post", "/tasks"): {"202", "400", "413", "422", "429", "500", "503"},
    ("get", "/tasks"): {"200", "400", "429", "500", "503"},
    ("get", "/tasks/{task_id}"): {"200", "400", "404", "429", "500", "503"},
    ("delete", "/tasks/{task_id}"): {"200", "400", "404", "409", "429", "500", "503"},
    ("get", "/tasks/{task_id}/events"): {
        "200",
        "204",
        "400",
        "404",
        "429",
        "500",
        "503",
    },
    ("get", "/health"): {"200", "503"},
}


def operation(key: tuple[str, str]) -> dict[str, Any]:
    method, path = key
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
    return found


def schema_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name]
    return found


def test_every_operation_is_documented() -> None:
    documented = {
        (method, path)
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
    }
    assert documented == set(OPERATIONS)


@pytest.mark.parametrize("key", OPERATIONS)
def test_every_status_of_an_operation_is_documented_and_no_other(
    key: tuple[str, str],
) -> None:
    assert set(operation(key)["responses"]) == OPERATIONS[key]


@pytest.mark.parametrize("key", sorted(set(OPERATIONS) - {("get", "/health")}))
def test_each_response_names_its_headers_and_errors_are_problems(
    key: tuple[str, str],
) -> None:
    for status, response in operation(key)["responses"].items():
        headers = {"Cache-Control"}
        # Without an engine there is no rate limit.
        if response["description"] != "not_started":
            headers |= {"RateLimit-Policy", "RateLimit"}
            if status in ("202", "429", "503"):
                headers.add("Retry-After")
        if status == "202":
            headers.add("Location")
        if "text/event-stream" in response.get("content", {}):
            headers.add("X-Accel-Buffering")
        assert set(response["headers"]) == headers

        if status >= "400":
            schema = response["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}
            assert len(response["content"]) == 1


def test_the_only_422_is_that_of_a_reused_key() -> None:
    answers = {
        key: operation(key)["responses"].get("422", {}).get("description")
        for key in OPERATIONS
    }
    expected = dict.fromkeys(OPERATIONS)
    expected["post", "/tasks"] = "idempotency_key_reused"
    assert answers == expected

    # FastAPI's own, whose schema these are, is nowhere.
    schemas = set(DOCUMENT["components"]["schemas"])
    assert not {"HTTPValidationError", "ValidationError"} & schemas


def test_the_idempotency_key_is_a_header_of_a_submission_alone() -> None:
    headers = {
        key: [
            parameter
            for parameter in operation(key).get("parameters", [])
            if parameter["in"] == "header"
        ]
        for key in OPERATIONS
    }
    (parameter,) = headers.pop(("post", "/tasks"))
    (last_seen,) = headers.pop(("get", "/tasks/{task_id}/events"))
    assert last_seen["name"] == "Last-Event-ID"
    assert not last_seen["required"]
    assert set(map(tuple, headers.values())) == {()}

    assert parameter["name"] == "Idempotency-Key"
    assert parameter.get("required", False) is False
    assert parameter["description"]

    fitting = {
        '"a"': True,
        "a": False,
        '""': False,
        '"' + "a" * 256 + '"': False,
        'x"a"': False,
    }
    for text, fits in fitting.items():
        assert bool(re.search(parameter["schema"]["pattern"], text)) is fits


def test_every_reference_has_a_schema() -> None:
    references = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert references == set(DOCUMENT["components"]["schemas"])


def test_the_listing_is_documented_in_both_formats() -> None:
    content = operation(("get", "/tasks"))["responses"]["200"]["content"]
    task = {"$ref": "#/components/schemas/Task"}
    assert content["application/json"]["schema"]["items"] == task

    # What validates an answer of several lines must not take it for one
    # task.
    lines = content["application/x-ndjson"]["schema"]
    assert lines["type"] == "string"
    assert lines["description"]


def test_operations_and_schemas_have_the_names_that_people_would_give() -> None:
    assert {key: operation(key)["operationId"] for key in OPERATIONS} == {
        ("post", "/tasks"): "submit_task",
        ("get", "/tasks"): "list_tasks",
        ("get", "/tasks/{task_id}"): "get_task",
        ("delete", "/tasks/{task_id}"): "cancel_task",
        ("get", "/tasks/{task_id}/events"): "watch_task",
        ("get", "/health"): "health",
    }

    names = set(DOCUMENT["components"]["schemas"])
    assert {"Task", "TaskError", "Problem", "ComputeSumSubmission"} <= names
    for name in names:
        assert re.fullmatch("([A-Z][a-z]+)+", name), name


def test_integers_are_named_beside_numbers() -> None:
    # Where a generated client knows floats alone, 2**53 + 1 is lost.
    numbers = schema_of("ComputeSum")["properties"]["numbers"]
    assert numbers["items"] == {"anyOf": [{"type": "integer"}, {"type": "number"}]}


def test_an_error_has_a_code_and_a_message() -> None:
    error = schema_of("TaskError")
    assert error["required"] == ["code", "message"]
    assert error["properties"]["code"]["enum"] == [
        "task_failed",
        "timeout",
        "executor_lost",
        "internal_error",
    ]

    shown = schema_of("Task")["properties"]["error"]["anyOf"]
    assert shown == [{"$ref": "#/components/schemas/TaskError"}, {"type": "null"}]


def test_a_problem_has_no_more_than_its_members_by_their_names() -> None:
    problem = schema_of("Problem")
    always = {"type", "title", "status", "detail", "code"}
    assert set(problem["required"]) == always
    assert set(problem["properties"]) == always | {"errors", "violated-policies"}
    # A default would say that they are always there.
    assert "default" not in str(problem)

    assert schema_of("Fault")["required"] == ["detail"]


def test_no_query_can_be_null() -> None:
    for key in OPERATIONS:
        for parameter in operation(key).get("parameters", []):
            assert "null" not in str(parameter["schema"]), parameter


def test_a_long_poll_is_said_to_end() -> None:
    by_name = {
        parameter["name"]: parameter
        for parameter in operation(("get", "/tasks/{task_id}"))["parameters"]
    }
    assert "WAIT_TIMEOUT" in by_name["wait"]["description"]


def test_each_answer_is_described_in_its_own_words() -> None:
    descriptions = [
        response["description"]
        for key in OPERATIONS
        for status, response in operation(key)["responses"].items()
        if status < "300"
    ]
    # One has two.
    assert len(set(descriptions)) == len(OPERATIONS) + 1

    refused = {
        key: operation(key)["responses"]["503"]["description"] for key in OPERATIONS
    }
    assert refused == {
        ("post", "/tasks"): "queue_full, shutting_down, not_started",
        ("get", "/tasks"): "shutting_down, not_started",
        ("get", "/tasks/{task_id}"): "not_started",
        ("delete", "/tasks/{task_id}"): "not_started",
        ("get", "/tasks/{task_id}/events"): "too_many_streams, not_started",
        ("get", "/health"): "degraded, or a problem",
    }


def test_an_unhealthy_server_tells_its_counts_or_a_problem() -> None:
    content = operation(("get", "/health"))["responses"]["503"]["content"]
    assert {name: form["schema"] for name, form in content.items()} == {
        "application/json": {"$ref": "#/components/schemas/Stats"},
        "application/problem+json": {"$ref": "#/components/schemas/Problem"},
    }
    assert {name: list(form["examples"]) for name, form in content.items()} == {
        "application/json": ["degraded"],
        "application/problem+json": ["shutting_down", "not_started"],
    }


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rate_limit": 10}, "10 at most in any 60 s"),
        ({"rate_limit": 1, "rate_window": 7}, "1 at most in any 7 s"),
        ({"rate_limit": None}, "no rate limit"),
    ],
)
def test_the_rate_limit_is_told_as_it_is_set(
    changes: dict[str, Any], told: str
) -> None:
    description = create_app(settings(**changes)).openapi()["info"]["description"]
    assert told in description


def test_nothing_asks_for_credentials() -> None:
    assert DOCUMENT["security"] == []
    assert "securitySchemes" not in DOCUMENT["components"]


@pytest.mark.parametrize(
    ("root_path", "url"),
    [("", "/"), ("/", "/"), ("/api", "/api"), ("/api/", "/api"), ("/a/b", "/a/b")],
)
async def test_the_one_server_is_where_the_client_reaches_it(
    root_path: str, url: str
) -> None:
    async with running() as app:
        transport = httpx.ASGITransport(app, root_path=root_path)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://a"
        ) as client:
            document = (await client.get("/openapi.json")).json()

    assert document["servers"] == [{"url": url}]


async def test_a_root_path_is_not_remembered() -> None:
    async with running(rate_limit=10) as app, client_of(app) as client:
        transport = httpx.ASGITransport(app, root_path="/api")
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as below:
            await below.get("/openapi.json")

        assert (await client.get("/openapi.json")).json() == DOCUMENT


def test_somebody_elses_route_is_documented_as_fastapi_does() -> None:
    app = create_app(settings(rate_limit=10))

    @app.get("/mine")
    async def mine(number: int | str = 0) -> dict[str, int]:
        return {}

    paths = app.openapi()["paths"]
    assert paths.keys() == {*DOCUMENT["paths"], "/mine"}
    (parameter,) = paths["/mine"]["get"]["parameters"]
    assert len(parameter["schema"]["anyOf"]) == 2


# Examples


def test_the_examples_are_what_is_answered() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    told = "run python -m tests.examples"
    assert without_titles(examples()) == without_titles(recorded), told


def without_titles(value: Any) -> Any:
    """Without those of HTTP's statuses, which Python 3.13 renamed."""
    match value:
        case dict():
            return {
                key: without_titles(inner)
                for key, inner in value.items()
                if key != "title"
            }
        case list():
            return [without_titles(inner) for inner in value]
    return value


@pytest.mark.parametrize("key", OPERATIONS)
def test_each_response_has_an_example_that_fits(key: tuple[str, str]) -> None:
    for status, response in operation(key)["responses"].items():
        # 204 has none.
        for media_type, content in response.get("content", {}).items():
            assert content["examples"], (key, status, media_type)

            schema = content["schema"] | {"components": DOCUMENT["components"]}
            for example in content["examples"].values():
                jsonschema_rs.validate(schema, example["value"])
                if status >= "400" and key != ("get", "/health"):
                    assert example["value"]["status"] == int(status)


def test_each_code_of_a_task_error_is_one_that_a_failure_can_have() -> None:
    failures: list[Exception] = [
        TaskFailedError("x"),
        asyncio.TimeoutError(),
        BrokenExecutor(),
        RuntimeError(),
    ]
    codes = [classify_failure(failure)["code"] for failure in failures]
    assert schema_of("TaskError")["properties"]["code"]["enum"] == codes


@pytest.mark.parametrize("name", EXAMPLES)
async def test_each_example_works_unchanged(name: str) -> None:
    async with serving() as client:
        example = EXAMPLES[name]["value"]
        assert example["task_type"] == name
        assert (await client.post("/tasks", json=example)).status_code == 202


def test_there_is_an_example_for_each_task_type() -> None:
    body = operation(("post", "/tasks"))["requestBody"]["content"]["application/json"]
    assert set(body["examples"]) == set(EXAMPLES)
    assert set(body["schema"]["discriminator"]["mapping"]) == set(EXAMPLES)


def test_the_document_is_made_once() -> None:
    app = create_app(settings())
    assert app.openapi() is app.openapi()
    assert app.openapi()["servers"] == [{"url": "/"}]


async def test_the_document_is_served_as_it_is_made() -> None:
    async with serving(rate_limit=10) as client:
        assert (await client.get("/openapi.json")).json() == DOCUMENT


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_pages_load_nothing_from_elsewhere(page: str) -> None:
    pytest.importorskip("fastapi_offline")
    async with serving() as client:
        text = (await client.get(page)).text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
        assert loaded

        for url in loaded:
            assert url.startswith("/"), url
            assert (await client.get(url)).status_code == 200


def test_without_the_optional_package_the_page_is_fastapis_own() -> None:
    program = """
import sys
sys.modules["fastapi_offline"] = None
from taskmanager.api import create_app
app = create_app()
assert app.docs_url == "/docs"
assert {"/docs", "/redoc", "/tasks"} <= {route.path for route in app.routes}
"""
    subprocess.run(
        [sys.executable, "-c", program], cwd=project_root(), check=True, timeout=60
    )


def test_bounds_are_in_the_words_of_json_schema() -> None:
    def keys(value: Any) -> set[str]:
        match value:
            case dict():
                return set(value).union(*map(keys, value.values()))
            case list():
                return set().union(*map(keys, value))
        return set()

    assert not keys(DOCUMENT) & {"ge", "gt", "le", "lt"}

    properties = schema_of("GenerateReport")["properties"]
    assert properties["sections"]["minimum"] == 1
    assert properties["sections"]["maximum"] == 20


def test_headers_are_where_they_are_sent() -> None:
    document = create_app(settings(rate_limit=10)).openapi()
    answers = document["paths"]["/tasks"]["post"]["responses"]

    def statuses_with(header: str) -> set[str]:
        return {
            status for status, answer in answers.items() if header in answer["headers"]
        }

    assert statuses_with("Retry-After") == {"202", "429", "503"}
    assert statuses_with("Location") == {"202"}


def test_without_a_rate_limit_the_document_promises_none() -> None:
    document = create_app(settings(rate_limit=None)).openapi()
    text = json.dumps(document["paths"])
    assert '"429"' not in text
    assert "RateLimit" not in text
    assert document["info"]["description"].endswith(". There is no rate limit.")
    assert '"429"' in json.dumps(create_app(settings(rate_limit=7)).openapi())
