"""PlainRoute: a route of FastAPI's that calls its endpoint, and does no
more.

Rule: the endpoint's signature says what the route takes, as on every
page about FastAPI, and the OpenAPI document comes from it. What FastAPI
does beside, for dependencies and forms, is left out: no route here has
any, and it would cost more than all that the engine does for a request
(benchmarks: layers).
"""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError, create_model
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

IDENTITY = re.compile("(?i:identity)?")
JSON_TYPE = re.compile(r"\s*application/([^;\s]+\+)?json\s*(;.*)?", re.IGNORECASE)
# Pydantic would take 1_0, +5 and 5.0 for integers, too.
PLAIN = re.compile("[A-Za-z]+|[0-9]+")
ONE_VALUE = "Give one value: a word, or a number in decimal digits alone"


class PlainRoute(APIRoute):
    """Checks the parameters of path and query, all in one go.

    Its endpoint is called with them, with the request, and with the
    body, where it takes one: what was read as JSON, unchecked.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = self._plain_app()

    def _plain_app(self) -> ASGIApp:
        """What answers a request, in place of FastAPI's.

        That has two AsyncExitStacks for dependencies, and handles
        exceptions, which the application does once more: a held poll
        would hold all that (benchmarks: poll). Raises
        NotImplementedError where the endpoint asks for more.
        """
        takes = self.dependant
        if takes.dependencies or takes.header_params or takes.cookie_params:
            raise NotImplementedError(f"{self.name}: no dependencies, headers, cookies")

        endpoint: Callable[..., Coroutine[Any, Any, Response]] = self.endpoint
        query = [field.name for field in takes.query_params]
        bodies = [field.name for field in takes.body_params]
        fields: dict[str, Any] = {
            field.name: (field.field_info.annotation, field.field_info)
            for field in takes.path_params + takes.query_params
        }
        parameters = create_model("Parameters", **fields)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive, send)
            given = dict(request.path_params)
            if scope["query_string"]:
                check_once(request.query_params, PLAIN, ONE_VALUE, *query)
                given = {**request.query_params, **given}

            try:
                checked = vars(parameters.model_validate(given))
            except ValidationError as error:
                faults: list[Any] = error.errors(include_context=False)
                for fault in faults:
                    fault["loc"] = ("query", *fault["loc"])
                raise RequestValidationError(faults) from None

            for name in bodies:
                checked[name] = await _json_of(request)
            response = await endpoint(request=request, **checked)
            await response(scope, receive, send)

        return app


def check_once(
    given: Headers | QueryParams, pattern: re.Pattern[str], detail: str, *names: str
) -> None:
    """Refuse what is given twice, or not in the form of the pattern.

    Raises RequestValidationError.
    """
    for name in names:
        values = given.getlist(name)
        if len(values) > 1 or not all(map(pattern.fullmatch, values)):
            raise _fault(detail, "query", name)


async def _json_of(request: Request) -> Any:
    """The body, which has to be JSON in UTF-8.

    Raises RequestValidationError where it is no JSON, and HTTPException
    where it cannot be read.
    """
    headers = request.headers
    detail = "Send the body without a content coding"
    check_once(headers, IDENTITY, detail, "Content-Encoding")

    body = await request.body()
    # Of several that differ, none is to be believed: no type has a line
    # break.
    content_type = "\n".join(set(headers.getlist("content-type")))
    # RFC 8259 allows no UTF-16 and UTF-32, which json.loads reads.
    if not JSON_TYPE.fullmatch(content_type) or json.detect_encoding(body) != "utf-8":
        raise HTTPException(400)

    try:
        return json.loads(body.decode(errors="surrogatepass"))
    except json.JSONDecodeError as error:
        detail = f"Not valid JSON: {error.msg} at character {error.pos}."
        raise _fault(detail, "body") from None
    except UnicodeDecodeError:
        raise HTTPException(400) from None
    except (ValueError, RecursionError):
        detail = "It is nested too deeply, or has an integer that is too long."
        raise _fault(detail, "body") from None


def _fault(detail: str, *place: str) -> RequestValidationError:
    return RequestValidationError([{"type": "", "loc": place, "msg": detail}])
