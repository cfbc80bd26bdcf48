"""OpenAPI: what FastAPI's document of this API would leave out or get
wrong.

Rule: the document says what the server does: 400 in place of FastAPI's
422, problem documents, and what a route reads without FastAPI's
knowledge. Its examples are what the server has answered:
``python -m tests.examples`` writes them down.
"""

import json
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from taskmanager.schemas import HEADERS, PROBLEM

# The headers and content of each response, by operation and status.
RECORDED = Path(__file__).with_name("examples.json")

# A String of RFC 9651, section 3.3.3.
KEY = re.compile(r'"(?:[ !#-\[\]-~]|\\["\\]){1,255}"')

# The headers of a submission and of a stream, which a PlainRoute does
# not read.
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
LAST_EVENT_ID: dict[str, Any] = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "The `id` of the last event that you have seen.",
        }
    ]
}


def document(app: FastAPI, limited: bool) -> dict[str, Any]:
    """The OpenAPI document of ``app``, made when first asked for.

    ``limited`` says whether there is a rate limit.
    """
    schema = app.openapi_schema
    if schema is None:
        # To a client, it is a task; that it is a dict is Python's.
        text = json.dumps(FastAPI.openapi(app)).replace("TaskDict", "Task")
        schema = json.loads(text)
        app.openapi_schema = schema
        schema["security"] = []

        examples = json.loads(RECORDED.read_text(encoding="utf-8"))
        for path in schema["paths"].values():
            for operation in path.values():
                known = examples.get(operation["operationId"], {})
                if not limited:
                    _lift_limit(operation, known)
                _mend(operation, known)

        components = schema["components"]["schemas"]
        del components["HTTPValidationError"]
        del components["ValidationError"]
    return schema


def _lift_limit(operation: dict[str, Any], examples: dict[str, Any]) -> None:
    """Take out what no response has without a rate limit."""
    operation["responses"].pop("429", None)
    examples.pop("429", None)
    for known in examples.values():
        known["headers"].pop("RateLimit", None)
        known["headers"].pop("RateLimit-Policy", None)


def _mend(operation: dict[str, Any], examples: dict[str, Any]) -> None:
    """Show examples, and errors as problem documents.

    FastAPI's own 422 goes where there is no example of ours, and so
    does ``null``, which no query can say.
    """
    for parameter in operation.get("parameters", []):
        match parameter["schema"]:
            case {"anyOf": [value, {"type": "null"}]} as schema:
                del schema["anyOf"]
                schema |= value

    responses = operation["responses"]
    if "422" not in examples:
        responses.pop("422", None)

    for status, known in examples.items():
        response = responses[status]
        content = response.get("content", {})
        for media_type, shown in known["content"].items():
            if media_type not in content:
                content[PROBLEM] = content.pop("application/json")
                response["description"] = ", ".join(shown["examples"])
            content[media_type] |= shown

        response["headers"] = {
            name: {
                "description": HEADERS[name],
                "schema": {"type": "string"},
                "example": value,
            }
            for name, value in known["headers"].items()
        }
