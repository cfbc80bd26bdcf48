"""Bodies: what a solution's OpenAPI document says may be submitted.

They are tried where the default tasks are refused.
"""

import json
import re
from typing import Any

# What a field is called that chooses the work.
TYPE = re.compile(r"(^|_)(type|kind|operation|job|action)$", re.IGNORECASE)
# What a field is called that has to be another one each time.
KEY = re.compile(r"idempot|unique|(^|_)key$|request_id", re.IGNORECASE)
FORMATS = {
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "date": "2030-01-01",
    "date-time": "2030-01-01T00:00:00Z",
}
# How many bodies are tried.
MOST = 8


def bodies(document: Any, path: str) -> list[Any]:
    """One for each task type that the document names, at most eight."""
    schema = document
    for key in ("paths", path, "post", "requestBody", "content"):
        schema = schema.get(key, {})
    schema = schema.get("application/json", {}).get("schema", {})
    schema = resolved(schema, document)

    found = []
    for variant in schema.get("oneOf") or schema.get("anyOf") or [schema]:
        found += _bodies_of(variant, document)
    return found[:MOST]


def _bodies_of(schema: Any, document: Any) -> list[Any]:
    """One for each value of the field that chooses the work."""
    body = sample(schema, document)
    if not isinstance(body, dict) or not body:
        return []

    fields = resolved(schema, document).get("properties", {})
    several = [
        name for name in fields if name in body and choices(fields[name], document)
    ]
    choosers = [name for name in several if TYPE.search(name)] or several
    if not choosers:
        return [body]

    chooser = choosers[0]
    return [{**body, chooser: choice} for choice in choices(fields[chooser], document)]


def listed_in(document: Any) -> list[list[str]]:
    """The texts of each enum anywhere in the document.

    A const is an enum of one.
    """
    if isinstance(document, list):
        return [words for part in document for words in listed_in(part)]
    if not isinstance(document, dict):
        return []

    values = document.get("enum")
    if not isinstance(values, list):
        values = [document.get("const")]
    words = [value for value in values if isinstance(value, str)]

    below = listed_in(list(document.values()))
    return [words, *below] if words else below


def resolved(schema: Any, document: Any) -> Any:
    """Without a reference."""
    while "$ref" in schema:
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found.get(part, {})
        schema = found
    return schema


def choices(schema: Any, document: Any) -> list[Any]:
    """The values of an enum; none where it is none."""
    schema = resolved(schema, document)
    inner = [resolved(each, document) for each in schema.get("allOf", [])]
    for each in (schema, *inner):
        if "enum" in each:
            return list(each["enum"])
    return []


def bounds_of(name: str, document: Any, within: Any) -> list[tuple[int, int]]:
    """The least and the greatest number that fields may have.

    They are the fields of this name anywhere in a part of the document.
    """
    if isinstance(within, list):
        return [pair for part in within for pair in bounds_of(name, document, part)]
    if not isinstance(within, dict):
        return []

    found = []
    properties = within.get("properties")
    if isinstance(properties, dict) and isinstance(properties.get(name), dict):
        field = resolved(properties[name], document)
        alternatives = [
            resolved(each, document)
            for key in ("allOf", "anyOf", "oneOf")
            for each in field.get(key, [])
        ]
        for each in (field, *alternatives):
            values = each.get("enum", [each.get("minimum"), each.get("maximum")])
            # FastAPI writes the bounds of a whole number as 1.0.
            numbers = [int(value) for value in values if type(value) in (int, float)]
            if len(numbers) > 1:
                found.append((min(numbers), max(numbers)))
    return found + bounds_of(name, document, list(within.values()))


def sample(schema: Any, document: Any, name: str = "") -> Any:
    """A value that the schema allows, with no more than it requires."""
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

    return _made(schema, document, name)


def _made(schema: Any, document: Any, name: str) -> Any:
    """A value of the schema's type."""
    match schema.get("type"):
        case "object":
            required = schema.get("required", [])
            return {
                field: sample(inner, document, field)
                for field, inner in schema.get("properties", {}).items()
                if field in required
            }
        case "array":
            item = sample(schema.get("items", {}), document)
            return [item] * max(1, schema.get("minItems", 1))
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
    """Bodies that are to be refused.

    Among them is the quick task with a type that there is not.
    """
    for name in quick:
        if TYPE.search(name):
            return [{}, [], {**quick, name: "no_such_type"}]
    return [{}, []]


def as_toml(body: Any) -> str:
    """As a value in a TOML file, on one line."""
    match body:
        case dict():
            pairs = [
                f"{json.dumps(name)} = {as_toml(value)}" for name, value in body.items()
            ]
            return "{ " + ", ".join(pairs) + " }"
        case list():
            return "[" + ", ".join(map(as_toml, body)) + "]"
        case _:
            return json.dumps(body)
