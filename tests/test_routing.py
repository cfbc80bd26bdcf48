"""PlainRoute: what it checks, and what it passes on."""

from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse

from taskmanager import problems
from taskmanager.routing import PlainRoute
from tests.helpers import chunked

A_UUID = "6a1f7b1e-6f0a-4c53-9f0e-0a4b5f0f9a4e"


def app_with(router: APIRouter) -> FastAPI:
    return FastAPI(
        routes=router.routes,
        exception_handlers={RequestValidationError: problems.answer},
    )


async def asked(app: FastAPI, method: str, url: str, **kwargs: Any) -> Any:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.request(method, url, **kwargs)
        return response.json()


@pytest.fixture
def app() -> FastAPI:
    """Says what its endpoint was called with."""
    router = APIRouter(route_class=PlainRoute)

    @router.get("/things/{thing_id}")
    async def get_thing(
        request: Request,
        thing_id: UUID,
        fresh: bool = False,
        limit: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        values = [type(thing_id).__name__, str(thing_id), fresh, limit]
        return JSONResponse(values)

    @router.post("/things")
    async def add_thing(
        request: Request, thing: Annotated[dict[str, Any], Body()]
    ) -> Response:
        return JSONResponse([request.method, thing])

    return app_with(router)


async def test_an_endpoint_gets_checked_values_and_its_defaults(app: FastAPI) -> None:
    url = f"/things/{A_UUID}"
    assert await asked(app, "GET", url) == ["UUID", A_UUID, False, None]
    assert await asked(app, "GET", f"{url}?limit=3&fresh=true") == [
        "UUID",
        A_UUID,
        True,
        3,
    ]


async def test_a_query_cannot_stand_for_the_path(app: FastAPI) -> None:
    url = f"/things/{A_UUID}?thing_id=other&request=other&unknown=1"
    assert await asked(app, "GET", url) == ["UUID", A_UUID, False, None]


async def test_all_faults_of_a_request_are_named_together(app: FastAPI) -> None:
    problem = await asked(app, "GET", "/things/none?limit=0&fresh=maybe")
    assert [fault["parameter"] for fault in problem["errors"]] == [
        "thing_id",
        "fresh",
        "limit",
    ]


async def test_what_is_given_twice_is_refused_in_words(app: FastAPI) -> None:
    problem = await asked(app, "GET", f"/things/{A_UUID}?limit=1&limit=1")
    assert problem["errors"] == [
        {
            "detail": "Give one value: a word, or a number in decimal digits alone",
            "parameter": "limit",
        }
    ]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        " application/problem+json ;a=b",
    ],
)
async def test_a_body_is_read_as_json_and_passed_on(
    app: FastAPI, content_type: str
) -> None:
    headers = {"Content-Type": content_type}
    answer = await asked(app, "POST", "/things", content=b'{"a": [1]}', headers=headers)
    assert answer == ["POST", {"a": [1]}]


async def test_what_is_no_json_is_named_with_its_place(app: FastAPI) -> None:
    headers = {"Content-Type": "application/json"}
    problem = await asked(app, "POST", "/things", content=b'{"a": }', headers=headers)
    assert problem["errors"] == [
        {"detail": "Not valid JSON: Expecting value at character 6.", "pointer": "#"}
    ]


@pytest.mark.parametrize("marker", [Depends(lambda: ""), Header()])
def test_an_endpoint_that_asks_for_more_is_refused_at_once(marker: Any) -> None:
    router = APIRouter(route_class=PlainRoute)

    async def endpoint(request: Request, more: Any) -> Response:
        return Response()

    endpoint.__annotations__["more"] = Annotated[str, marker]
    with pytest.raises(NotImplementedError, match=r"^endpoint: no dependencies"):
        router.add_api_route("/", endpoint)


async def test_a_response_may_stream_and_notices_who_leaves(app: FastAPI) -> None:
    router = APIRouter(route_class=PlainRoute)

    @router.get("/stream")
    async def get_stream(request: Request) -> Response:
        return StreamingResponse(chunked(b"[1", b",2]"))

    assert await asked(app_with(router), "GET", "/stream") == [1, 2]


async def test_a_request_holds_nothing_that_dependencies_would_need() -> None:
    router = APIRouter(route_class=PlainRoute)

    @router.get("/scope")
    async def get_scope(request: Request) -> Response:
        return JSONResponse([name for name in request.scope if "astack" in name])

    # The one of the application's own, which closes uploaded files.
    held = await asked(app_with(router), "GET", "/scope")
    assert held == ["fastapi_middleware_astack"]
