"""A request as an ASGI server hands it over; for whatever calls an
application itself, without an HTTP client.

Rule: this imports nothing of the engine, since the grading of other
people's applications uses it as well.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

JSON = (b"content-type", b"application/json")


def scope_of(
    method: str,
    path: str,
    client: str | None = "10.0.0.1",  # its address
    query: str = "",
    headers: list[tuple[bytes, bytes]] | None = None,
    port: int = 50000,  # of the client
) -> dict[str, Any]:
    """An ASGI scope, as uvicorn would make it; without ``headers``, for
    a small JSON request.
    """
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), JSON] if headers is None else headers,
        "client": None if client is None else (client, port),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


def receive_from(body: bytes, gone: asyncio.Event) -> Callable[[], Awaitable[Any]]:
    """The ``receive`` of a client that sends ``body``, and stays until
    ``gone`` is set.
    """
    to_receive = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if to_receive:
            return to_receive.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive
