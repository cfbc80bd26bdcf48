"""One request into the application, called as a server would call it.

Rule: an HTTP client in between would cost more than all else, and could
not leave in the middle of a long poll.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message

from taskmanager.testing import JSON, receive_from, scope_of
from tests.simulation.journal import InvariantError


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise InvariantError(f"an answer is no JSON: {self.body[:80]!r}") from None


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    address: str | None,
    *,
    query: str = "",
    body: bytes = b"",
    accept: str = "*/*",
    gone: asyncio.Event | None = None,
    on_chunk: Callable[[bytes], None] | None = None,
) -> Answer:
    """The answer to one request, whose client leaves at ``gone``.

    ``on_chunk`` sees the body of a 200 come.
    """
    start: Message = {}
    chunks: list[bytes] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)

        chunk = message.get("body", b"")
        chunks.append(chunk)
        if chunk and on_chunk is not None and start["status"] == 200:
            on_chunk(chunk)

    headers = [JSON, (b"accept", accept.encode())]
    scope = scope_of(method, path, address, query, headers)
    receive = receive_from(body, gone or asyncio.Event())
    try:
        await app(scope, receive, send)
    except Exception as error:
        raise InvariantError(f"{method} {path} raised {error!r}") from error
    if not start:
        raise InvariantError(f"{method} {path} was not answered")

    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], answered, b"".join(chunks))
