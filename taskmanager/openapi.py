"""OpenAPI: what FastAPI's document of this API would leave out or get
wrong.

Rule: the document says what the server does: 400 in place of FastAPI's
422, problem documents, and what a route reads without FastAPI's
knowledge.
"""

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from taskmanager.schemas import PROBLEM

# A String of RFC 9651, section 3.3.3.
KEY = re.compile(r'"(?:[ !#-\[\]-~]|\\["\\]){1,255}"')

# The header of a submission; as a parameter of its route it would take
# a quarter longer (benchmarks: submit).
IDEMPOTENCY_KEY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "pattern": f"^{KEY.pattern}$"},
            "description": "Makes a retry safe: the same key and body again "
            "answer the task of the first time.",
        }
    ]
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of ``app``, made when first asked for."""
    if app.openapi_schema is None:
        app.openapi_schema = _make(app)
    return app.openapi_schema


def _make(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    for path in schema["paths"].values():
        for operation in path.values():
            _mend(operation["responses"])

    components = schema["components"]["schemas"]
    del components["HTTPValidationError"]
    del components["ValidationError"]
    return schema


def _mend(responses: dict[str, Any]) -> None:
    """Drop FastAPI's own 422, and make ours problem documents."""
    ours = {
        status: response
        for status, response in responses.items()
        if "headers" in response and status >= "400"
    }
    if "422" not in ours:
        responses.pop("422", None)
    for response in ours.values():
        content = response["content"]
        content[PROBLEM] = content.pop("application/json")
