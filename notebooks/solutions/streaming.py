"""Solutions for 10-streaming."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

# Task 10 was sent before it went. Task 200 goes before its page is
# read. The new ones came after the listing began.
listed = 299


async def as_array(pages: Iterator[list[dict[str, Any]]]) -> AsyncIterator[bytes]:
    before = "["
    for page in pages:
        if page:
            text = ",".join(json.dumps(record) for record in page)
            yield (before + text).encode()
            before = ","
        await asyncio.sleep(0)

    if before == "[":
        yield b"["
    yield b"]"


async def records(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield json.loads(line)
