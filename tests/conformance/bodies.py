"""Bodies: what a solution's OpenAPI document says that may be
submitted, where the default tasks are refused.
"""

import json
import re
from typing import Any

# What a field is called that chooses the work.
TYPE = re.compile(r"(^|_)(type|kind|operation|job|action)$", re.IGNORECASE)
# that has to be another one each time
KEY = re.compile(r"idempot|unique|(^|_)key$|request_id", re.IGNORECASE)
FORMATS = {
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "date": "2030-01-01",
    "date-time": "2030-01-01T00:00:00Z",
}
MOST = 8  # bodies that are tried


def bodies(document: Any, path: str) -> list[Any]:
    """One for each task type that the document names, at most eight."""
    content = (
        document.get("paths", {})
        .get(path, {})
        .get("post", {})
        .get("requestBody", {})
        .get("content", {})
    )
    schema = resolved(content.get("application/json", {}).get("schema", {}), document)
    found = []
    for variant in schema.get("oneOf") or schema.get("anyOf") or [schema]:
        body = sample(variant, document)
        fields = resolved(variant, document).get("properties", {})
        several = [
            name
            for name in fields
            if choices(fields[name], document) and name in (body or {})
        ]
        chooser = next(
            (name for name in several if TYPE.search(name)),
            several[0] if several else None,
        )
        if isinstance(body, dict) and chooser:
            found += [
                {**body, chooser: choice}
                for choice in choices(fields[chooser], document)
            ]
        elif isinstance(body, dict) and body:
            found.append(body)
    return found[:MOST]


def listed_in(document: Any) -> list[list[str]]:
    """The texts of each enum anywhere in the document; a const is an
    enum of one.
    """
    if isinstance(document, list):
        return [words for part in document for words in listed_in(part)]
    if not isinstance(document, dict):
        return []
    values = (
        document["enum"]
        if isinstance(document.get("enum"), list)
        else [document.get("const")]
    )
    words = [value for value in values if isinstance(value, str)]
    return ([words] if words else []) + listed_in(list(document.values()))


def resolved(schema: Any, document: Any) -> Any:
    """Without a reference."""
    while "$ref" in schema:
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found.get(part, {})
        schema = found
    return schema


def choices(schema: Any, document: Any) -> list[Any]:
    schema = resolved(schema, document)
    inner = [resolved(each, document) for each in schema.get("allOf", [])]
    return next((each["enum"] for each in (schema, *inner) if "enum" in each), [])


def sample(schema: Any, document: Any, name: str = "") -> Any:
    """A value that the schema allows, with no more than what it
    requires.
    """
    schema = resolved(schema, document)
    if KEY.search(name):
        return "{unique}"
    for key in ("example", "default", "const"):
        if schema.get(key) is not None:
            return schema[key]
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample(schema[key][0], document, name)
    required = schema.get("required", [])
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {
                field: sample(inner, document, field)
                for field, inner in fields.items()
                if field in required
            }
        case "array":
            return [sample(schema.get("items", {}), document)] * max(
                1, schema.get("minItems", 1)
            )
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            text = FORMATS.get(schema.get("format", ""), name or "text")
            return text.ljust(schema.get("minLength", 0), "x")


def invalid(quick: Any) -> list[Any]:
    """Bodies that are to be refused, among them the quick task with a
    type that there is not.
    """
    chooser = next((name for name in quick if TYPE.search(name)), None)
    return [{}, [], *([{**quick, chooser: "no_such_type"}] if chooser else [])]


def as_toml(body: Any) -> str:
    """As a value in a TOML file, on one line."""
    if isinstance(body, dict):
        return (
            "{ "
            + ", ".join(
                f"{json.dumps(name)} = {as_toml(value)}" for name, value in body.items()
            )
            + " }"
        )
    if isinstance(body, list):
        return "[" + ", ".join(map(as_toml, body)) + "]"
    return json.dumps(body)
