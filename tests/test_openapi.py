"""The document says what the server does.

The pages that show it work without the internet.
"""

import re
import subprocess
import sys
from typing import Any

import pytest

from taskmanager.api import create_app
from taskmanager.schemas import EXAMPLES
from tests.helpers import project_root, serving, settings

DOCUMENT = create_app(settings()).openapi()
OPERATIONS = {
    ("post", "/tasks"): {"202", "400", "413", "422", "429", "500", "503"},
    ("get", "/tasks"): {"200", "400", "429", "500"},
    ("get", "/tasks/{task_id}"): {"200", "400", "404", "429", "500"},
    ("delete", "/tasks/{task_id}"): {"200", "400", "404", "409", "429", "500"},
    ("get", "/health"): {"200", "503"},
}


def operation(key: tuple[str, str]) -> dict[str, Any]:
    method, path = key
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
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
        headers = {"Cache-Control", "RateLimit-Policy", "RateLimit"}
        if status in ("202", "429", "503"):
            headers.add("Retry-After")
        if status == "202":
            headers.add("Location")
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
    assert str(DOCUMENT).count("422") == 1
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
    task = {"$ref": "#/components/schemas/TaskDict"}
    assert content["application/json"]["schema"]["items"] == task
    assert content["application/x-ndjson"]["schema"] == task


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


async def test_the_document_is_served_as_it_is_made() -> None:
    async with serving() as client:
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

    properties = DOCUMENT["components"]["schemas"]["GenerateReport"]["properties"]
    assert properties["sections"]["minimum"] == 1
    assert properties["sections"]["maximum"] == 20


def test_headers_are_where_they_are_sent() -> None:
    answers = create_app(settings()).openapi()["paths"]["/tasks"]["post"]["responses"]

    def statuses_with(header: str) -> set[str]:
        return {
            status for status, answer in answers.items() if header in answer["headers"]
        }

    assert statuses_with("Retry-After") == {"202", "429", "503"}
    assert statuses_with("Location") == {"202"}
